"""Run by the tests as a program of the last release: its client library and stubs call the servers of this one."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime

import rapport_client
from rapport_client import Rapport


def main() -> None:
    """Do what an internal system does, and print what came back."""
    address, base_port, token, number = sys.argv[1:]
    with Rapport(address=address, base_port=int(base_port), token=token, timeout=60) as rapport:
        identities = [{"type": "TYPE_EXTERNAL", "source": "old", "value": number}]
        contact = rapport.contacts.upsert_contact(
            contact={"display_name": f"Old {number}", "identities": identities}
        ).contact
        order = rapport.sales.place_order(
            order={
                "contact": contact.name,
                "source": "old",
                "external_id": number,
                "order_time": datetime.now(UTC),
                "lines": [
                    {
                        "product_code": "cup",
                        "quantity": "2",
                        "unit_price": {"currency_code": "EUR", "units": 3},
                    }
                ],
            }
        ).order
        case = rapport.care.create_case(case={"contact": contact.name, "subject": "From the old client"}).case
        names = [item.name for item in rapport.segmentation.list_segments().segments]
        listed = [item.name for item in rapport.campaign.list_campaigns().campaigns]
    told = {
        "library": rapport_client.__file__,
        "contact": contact.name,
        "order": order.name,
        "case": case.name,
        "segments": names,
        "campaigns": listed,
    }
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()
