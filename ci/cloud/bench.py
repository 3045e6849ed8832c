"""How fast an image gets into a Space, beside parallel PUTs of the same parts by boto3's transfer manager to the same server.

Both send 512 MiB in parts of 8 MiB, eight at a time, straight to moto; medians of five, in turns. moto is one Python process,
so this says what is lost on the way to it, not how fast networks are. Both hashes of the file are part of E3's time, and so is
asking the cloud twice.

`upload_vs_parallel_put` is boto3's time divided by E3's where both make the same requests: each part signed with its SHA-256.
`upload_vs_boto3_defaults` is the same beside boto3 as it is unless told otherwise: it adds a CRC-32 to each part, which spares moto
to compute one of the whole object when it is put together. E3 does not: not every object storage takes them.
"""

import json
import os
import statistics
import time

from boto3.s3.transfer import TransferConfig

from .rig import BUCKET, MIB, Rig

SIZE, PART, FLYING, ROUNDS = 512 * MIB, 8 * MIB, 8, 5
CONFIG = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART, max_concurrency=FLYING)


def main():
    rig = Rig()
    try:
        image = rig.make_image("large.qcow2", SIZE)
        space = f"http://127.0.0.1:{rig.moto.port}/{BUCKET}"

        def e3():
            # The cloud says no once everything is there: what is measured ends with the upload.
            rig.fake.fail("POST", "/v2/images", status=401)
            status, answer = rig.run(image=image, space=space)
            assert (status, len(rig.objects())) == (4, 1), answer

        def boto3(**config):
            client = rig.s3_client(**config)
            return lambda: client.upload_file(str(image), BUCKET, "theirs", Config=CONFIG)

        all_ways = {"e3": e3, "same": boto3(request_checksum_calculation="when_required"), "defaults": boto3()}
        times = {way: [] for way in all_ways}
        for _ in range(ROUNDS):
            for way, upload in all_ways.items():
                rig.reset()
                begin = time.monotonic()
                upload()
                times[way].append(time.monotonic() - begin)
        ours, same, defaults = (statistics.median(times[way]) for way in ("e3", "same", "defaults"))
        print(f"upload of 512 MiB: {ours:.2f} s; the same requests by boto3: {same:.2f} s, with boto3's defaults: {defaults:.2f} s")
        print(json.dumps({
            "upload_vs_parallel_put": round(same / ours, 3), "upload_vs_boto3_defaults": round(defaults / ours, 3),
            "processors": os.cpu_count(), "load": round(os.getloadavg()[0], 1)}))
        return 0
    finally:
        rig.close()
