#!/usr/bin/env python3
"""Writes a job to send-jobs: one address a line from stdin, the message as a text.

  TAMIS_API=http://127.0.0.1:8081 TAMIS_KEY=… ./send_job.py 127.0.0.1:9092 tamis acme spring-1 "Bonjour" < addresses.txt

The classes of proto/ must be on PYTHONPATH, see README.md.
"""

import json
import os
import sys
import urllib.request

from confluent_kafka import Producer
from tamis.campaign.v1 import campaign_pb2 as campaign


def suppressed(tenant, addresses):
    """How many of these tamis would leave out now. It need not be asked: tamis leaves them out when it decides."""
    request = urllib.request.Request(
        os.environ["TAMIS_API"] + "/v1/suppressions/lookup",
        data=json.dumps({"tenant": tenant, "addresses": addresses}).encode(),
        headers={"authorization": "Bearer " + os.environ["TAMIS_KEY"], "content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return sum(1 for row in json.load(answer)["results"] if row.get("records"))


def main():
    servers, prefix, tenant, job_id, text = sys.argv[1:]
    addresses = sys.stdin.read().split()
    job = campaign.SendJob(
        job_id=job_id,
        tenant=tenant,
        campaign="spring",
        channel=campaign.CHANNEL_SMS,
        content_type="text/plain",
        content=text.encode(),
        recipients=[campaign.Recipient(address=address) for address in addresses],
    )
    # A job sent twice under its id is a duplicate to tamis, so that whoever is in doubt sends again.
    producer = Producer({"bootstrap.servers": servers, "enable.idempotence": True, "acks": "all"})
    failed = []
    producer.produce(
        f"{prefix}.send-jobs.v1",
        key=job_id,
        value=job.SerializeToString(),
        headers={"content-type": "application/protobuf"},
        on_delivery=lambda error, _: error and failed.append(error),
    )
    left = producer.flush(30)
    if failed or left:
        sys.exit(f"not sent: {failed or 'no answer'}")
    print(json.dumps({"sent": job_id, "recipients": len(addresses), "suppressed_now": suppressed(tenant, addresses)}))


if __name__ == "__main__":
    main()
