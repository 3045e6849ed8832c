"""How fast an image gets into a Space, beside parallel PUTs of the same parts by boto3's transfer manager to the same server.

Both send 512 MiB in parts of 8 MiB, eight at a time, straight to moto; medians of three, in turns. moto is one Python process,
so this says what is lost on the way to it, not how fast networks are. The hash of the file is part of E3's time.
"""

import json
import os
import statistics
import time

from boto3.s3.transfer import TransferConfig

from .rig import BUCKET, MIB, Rig

SIZE, PART, FLYING, ROUNDS = 512 * MIB, 8 * MIB, 8, 3


def main():
    rig = Rig()
    try:
        image = rig.make_image("large.qcow2", SIZE)
        config = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART, max_concurrency=FLYING)
        space = f"http://127.0.0.1:{rig.moto.port}/{BUCKET}"
        ours, theirs = [], []
        for _ in range(ROUNDS):
            rig.reset()
            begin = time.monotonic()
            # The cloud says no once everything is there: what is measured ends with the upload.
            rig.fake.fail("POST", "/v2/images", status=401)
            status, answer = rig.run(image=image, space=space)
            ours.append(time.monotonic() - begin)
            assert (status, len(rig.objects())) == (4, 1), answer
            rig.reset()
            begin = time.monotonic()
            rig.s3.upload_file(str(image), BUCKET, "theirs", Config=config)
            theirs.append(time.monotonic() - begin)
        ours, theirs = statistics.median(ours), statistics.median(theirs)
        print(f"upload of 512 MiB: {ours:.2f} s; parallel PUTs by boto3: {theirs:.2f} s")
        print(json.dumps({"upload_vs_parallel_put": round(theirs / ours, 3), "processors": os.cpu_count()}))
        return 0
    finally:
        rig.close()
