"""`e3 image upload digitalocean` against what nobody here wrote: an object storage (moto) and DigitalOcean's own description of
its API, which Prism holds each request and each answer against.

Behind Prism stands `fake`, a cloud small enough to be looked at: it fetches what it is given the address of, as the real one
does, and fails as it is told to. Before the storage stands `relay`, which can hold parts back, lose them and refuse them.

    e3 ── API ──▶ Prism ──▶ fake ──┐ fetches the image
    e3 ── S3 ───▶ relay ──▶ moto ◀─┘ by its signed address
"""
