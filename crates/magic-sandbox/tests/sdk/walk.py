"""Calls every operation on tunnels, routes, interconnects and tokens with Cloudflare's own Python client.

Usage: walk.py BASE_URL ACCOUNT_ID TOKEN

The client validates every response against its models (`_strict_response_validation`), so every field that is missing
or has the wrong type fails here, including fields that this script does not check.
"""

import re
import sys

import cloudflare
from cloudflare import Cloudflare


def refused(error, code, pointer, call, *args, **kwargs):
    """The call must fail with this exception, code and pointer."""
    try:
        call(*args, **kwargs)
    except error as refusal:
        first = refusal.body["errors"][0]
        assert first["code"] == code, first
        assert first.get("source", {}).get("pointer") == pointer, first
        return
    raise AssertionError(f"{call.__name__} was not refused with {code}")


def walk(tunnels, account, item, body):
    """Create, list, get, update, update many, validate only, delete. Both kinds have the same operations."""
    plural = item + "s"
    where = {"account_id": account}
    hc = {"x_magic_new_hc_target": True}

    one = tunnels.create(**where, **hc, **body, bgp={"customer_asn": 65000, "md5_key": "key"})
    assert re.fullmatch("[0-9a-f]{32}", one.id), one.id
    assert one.bgp_status.state == "BGP_ESTABLISHING", one.bgp_status
    assert one.health_check.target.saved == "" and one.health_check.target.effective == "10.20.0.1", one.health_check
    assert one.created_on == one.modified_on

    refused(cloudflare.BadRequestError, 1103, "/name", tunnels.create, **where, **body)

    listed = getattr(tunnels.list(**where), plural)
    assert [tunnel.id for tunnel in listed] == [one.id], listed
    assert listed[0].health_check.target == "", "without the header the target is a string"

    got = getattr(tunnels.get(one.id, **where, **hc), item)
    assert got.name == body["name"] and got.bgp.customer_asn == 65000, got

    changed = dict(body, description="changed", health_check={"rate": "high", "target": {"saved": "192.0.2.1"}})
    updated = tunnels.update(one.id, **where, **hc, **changed)
    modified = getattr(updated, "modified_" + item)
    assert updated.modified is True and modified.description == "changed", updated
    assert modified.health_check.rate == "high" and modified.bgp is None, modified
    old_form = dict(changed, health_check={"target": {"saved": ""}})
    refused(cloudflare.BadRequestError, 1118, "/health_check/target", tunnels.update, one.id, **where, **old_form)

    renamed = dict(body, id=one.id, name="renamed")
    many = tunnels.bulk_update(**where, body={plural: [renamed]})
    assert many.modified is True and getattr(many, "modified_" + plural)[0].name == "renamed", many
    wrong = dict(renamed, interface_address="10.20.0.0/24")
    pointer = f"/{plural}/0/interface_address"
    refused(cloudflare.BadRequestError, 1107, pointer, tunnels.bulk_update, **where, body={plural: [wrong]})

    dry = tunnels.create(**where, **body, extra_query={"validate_only": "true"})
    assert dry.name == body["name"] and len(getattr(tunnels.list(**where), plural)) == 1

    if item == "ipsec_tunnel":
        key = tunnels.psk_generate(one.id, **where)
        assert len(key.psk) == 32 and key.ipsec_tunnel_id == one.id and key.psk_metadata.last_generated_on, key.ipsec_tunnel_id
        shown = tunnels.get(one.id, **where)
        assert shown.ipsec_tunnel.psk_metadata.last_generated_on == key.psk_metadata.last_generated_on
        assert key.psk not in shown.model_dump_json()

    deleted = tunnels.delete(one.id, **where)
    assert deleted.deleted is True and getattr(deleted, "deleted_" + item).id == one.id, deleted
    missing = 1032 if item == "ipsec_tunnel" else 1029
    refused(cloudflare.NotFoundError, missing, None, tunnels.get, one.id, **where)
    refused(cloudflare.NotFoundError, missing, None, tunnels.delete, one.id, **where)
    assert getattr(tunnels.list(**where), plural) == []


def walk_routes(routes, account):
    """Create, list, get, update, update many, validate only, delete, delete many."""
    where = {"account_id": account}
    body = {"prefix": "10.30.0.0/16", "nexthop": "10.20.0.1", "priority": 100}

    one = routes.create(**where, **body, description="route", weight=10, scope={"colo_regions": ["APAC"]})
    assert re.fullmatch("[0-9a-f]{32}", one.id) and one.created_on == one.modified_on, one
    assert one.weight == 10 and one.scope.colo_regions == ["APAC"] and one.scope.colo_names is None, one
    refused(cloudflare.BadRequestError, 1122, "/prefix", routes.create, **where, **dict(body, prefix="10.30.0.0"))

    assert [route.id for route in routes.list(**where).routes] == [one.id]
    assert routes.get(one.id, **where).route.nexthop == "10.20.0.1"

    updated = routes.update(one.id, **where, **dict(body, priority=200))
    assert updated.modified is True and updated.modified_route.priority == 200, updated
    assert updated.modified_route.weight is None and updated.modified_route.scope is None, updated

    many = routes.bulk_update(**where, routes=[dict(body, id=one.id, nexthop="2001:db8::1")])
    assert many.modified is True and many.modified_routes[0].nexthop == "2001:db8::1", many
    wrong = dict(body, id=one.id, nexthop="router")
    refused(cloudflare.BadRequestError, 1106, "/routes/0/nexthop", routes.bulk_update, **where, routes=[wrong])

    dry = routes.create(**where, **body, extra_query={"validate_only": "true"})
    assert dry.priority == 100 and len(routes.list(**where).routes) == 1

    deleted = routes.delete(one.id, **where)
    assert deleted.deleted is True and deleted.deleted_route.id == one.id, deleted
    refused(cloudflare.NotFoundError, 1020, None, routes.get, one.id, **where)
    refused(cloudflare.NotFoundError, 1020, None, routes.delete, one.id, **where)

    ids = [routes.create(**where, **body).id for _ in range(2)]
    emptied = routes.empty(**where)
    assert emptied.deleted is True and [route.id for route in emptied.deleted_routes] == ids, emptied
    assert routes.list(**where).routes == []


def walk_interconnects(interconnects, account):
    """List, get, update, update many. Interconnects are created elsewhere: these come from the story."""
    where = {"account_id": account}
    hc = {"x_magic_new_hc_target": True}

    old, new = interconnects.list(**where, **hc).interconnects
    assert (old.name, old.version, new.name, new.version) == ("old", "1.5", "new", "2"), (old, new)
    assert old.health_check.source == "198.41.199.225" and old.health_check.target.effective == "10.0.0.3", old
    assert old.bgp.customer_asn == 65010 and new.gre.cloudflare_endpoint == "198.51.100.2", (old, new)
    assert interconnects.list(**where).interconnects[0].health_check.target == ""
    assert interconnects.get(old.id, **where, **hc).interconnect.to_dict() == old.to_dict()

    updated = interconnects.update(new.id, **where, **hc, mtu=9000, description="changed")
    modified = updated.modified_interconnect
    assert updated.modified is True and (modified.mtu, modified.description) == (9000, "changed"), updated
    assert (modified.name, modified.gre.to_dict()) == (new.name, new.gre.to_dict()), "omitted fields keep their values"
    gre = {"cloudflare_endpoint": "198.51.100.9"}
    refused(cloudflare.BadRequestError, 1125, "/gre", interconnects.update, old.id, **where, **hc, gre=gre)
    refused(cloudflare.BadRequestError, 1103, "/name", interconnects.update, old.id, **where, **hc, name="new")

    many = interconnects.bulk_update(**where, **hc, body={"interconnects": [{"id": new.id, "mtu": 1500}]})
    assert many.modified is True and many.modified_interconnects[0].mtu == 1500, many
    refused(cloudflare.NotFoundError, 1150, None, interconnects.get, "0" * 32, **where)


def walk_tokens(client, account, base_url):
    """Both paths verify the token; its state is set by the sandbox's own path."""
    control = base_url.removesuffix("/client/v4") + "/sandbox/token"
    verified = [
        lambda: client.user.tokens.verify(),
        lambda: client.accounts.tokens.verify(account_id=account),
    ]
    for verify in verified:
        token = verify()
        assert token.status == "active" and token.expires_on is None, token
    for status in ("disabled", "expired"):
        client.put(control, cast_to=object, body={"status": status, "expires": "2030-01-01T00:00:00Z"})
        for verify in verified:
            token = verify()
            assert token.status == status and token.expires_on.year == 2030, token
        lists = client.magic_transit.routes.list
        refused(cloudflare.AuthenticationError, 10000, None, lists, account_id=account)
    client.put(control, cast_to=object, body={"owner": "account"})
    refused(cloudflare.AuthenticationError, 1000, None, verified[0])
    client.put(control, cast_to=object, body={})


def main(base_url, account, token):
    options = {"base_url": base_url, "max_retries": 0, "_strict_response_validation": True}
    by_token = Cloudflare(api_token=token, **options)
    by_key = Cloudflare(api_email="user@example.com", api_key=token, **options)
    ipsec = {
        "name": "sdk-ipsec",
        "cloudflare_endpoint": "203.0.113.1",
        "customer_endpoint": "198.51.100.1",
        "interface_address": "10.20.0.0/31",
    }
    gre = {
        "name": "sdk-gre",
        "cloudflare_gre_endpoint": "203.0.113.1",
        "customer_gre_endpoint": "198.51.100.1",
        "interface_address": "10.20.0.0/31",
    }
    for client in (by_token, by_key):
        walk(client.magic_transit.ipsec_tunnels, account, "ipsec_tunnel", ipsec)
        walk(client.magic_transit.gre_tunnels, account, "gre_tunnel", gre)
        walk_routes(client.magic_transit.routes, account)
        walk_interconnects(client.magic_transit.cf_interconnects, account)
    walk_tokens(by_token, account, base_url)

    wrong = Cloudflare(api_token="wrong", **options).magic_transit
    refused(cloudflare.AuthenticationError, 10000, None, wrong.gre_tunnels.list, account_id=account)
    tunnels = by_token.magic_transit.gre_tunnels
    refused(cloudflare.PermissionDeniedError, 9109, None, tunnels.list, account_id="f" * 32)
    refused(cloudflare.NotFoundError, 7003, None, tunnels.list, account_id="none")
    invalid = Cloudflare(api_token="wrong", **options).user.tokens
    refused(cloudflare.AuthenticationError, 1000, None, invalid.verify)
    print(f"called every operation with cloudflare {cloudflare.__version__}")


main(*sys.argv[1:])
