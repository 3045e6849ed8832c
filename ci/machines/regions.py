"""How far the regions of a cloud are from each other: round trips between DigitalOcean's, by a model.

DigitalOcean publishes no table. So the model is the distance between the cities and one speed, fitted to what others have
published: a round trip takes 4 ms, and 1 ms for every 66.7 km of the great circle, which is light in glass (100 km there and
back in a millisecond) on a way that is half as long again. `PUBLISHED` is what it was fitted to, and the laboratory's tests keep it
within a fifth of that. Bandwidth, loss and jitter are not modelled.
"""

from math import acos, cos, radians, sin

# Latitude and longitude of the cities, in degrees.
PLACES = {
    "ams3": (52.4, 4.9), "fra1": (50.1, 8.7), "lon1": (51.5, -0.1), "nyc3": (40.7, -74.0), "sfo3": (37.8, -122.4),
    "sgp1": (1.35, 103.8), "blr1": (13.0, 77.6), "tor1": (43.7, -79.4), "syd1": (-33.9, 151.2),
}
EARTH_KM = 6371
KM_PER_MS = 66.7
BASE_MS = 4
# Two machines in one region.
SAME_MS = 0.5
# Milliseconds, there and back. Between droplets: Paschalis Ts, "Roundtable ping a network around the world", 2017-09-23. Between the
# same cities in IBM Cloud: "Network latency" in the documentation of its VPC, 27 July to 25 August 2024.
PUBLISHED = {
    ("nyc3", "sgp1"): 245, ("nyc3", "blr1"): 210, ("sfo3", "nyc3"): 77, ("sfo3", "blr1"): 218,
    ("tor1", "fra1"): 93, ("tor1", "lon1"): 82, ("tor1", "syd1"): 214, ("fra1", "lon1"): 13, ("fra1", "syd1"): 250, ("lon1", "syd1"): 261,
}


def round_trip_ms(one, other):
    """Between two regions."""
    if one == other:
        return SAME_MS
    (north, east), (north2, east2) = (tuple(map(radians, PLACES[region])) for region in (one, other))
    angle = acos(sin(north) * sin(north2) + cos(north) * cos(north2) * cos(east - east2))
    return BASE_MS + EARTH_KM * angle / KM_PER_MS


def one_way(regions):
    """For each pair of these, and each with itself: [region, region, milliseconds]."""
    there = sorted(set(regions))
    return [[one, other, round_trip_ms(one, other) / 2] for one in there for other in there if one <= other]
