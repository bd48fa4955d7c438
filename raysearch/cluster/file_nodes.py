"""Checks of a cluster file: which machines it requests, and how many; a sentence for each fault."""

from __future__ import annotations

from collections.abc import Iterator

from raysearch.cluster.file_words import Config, guess, instance, kinds, short, storages, workers
from raysearch.cluster.instances import INSTANCES, looks_real


def addresses_of(config: Config) -> Iterator[str]:
    """Yield faults of a list of on-premise machines.

    Each is listed once, and no more are requested than there are.
    """
    provider = config["provider"]
    if provider["type"] != "local":
        return
    for key in ("head_ip", "worker_ips"):
        if not provider.get(key):
            yield f"provider.{key}: is missing; addresses of machines of your own"
            return
    if not isinstance(provider["worker_ips"], list):
        yield f"provider.worker_ips: {short(provider['worker_ips'])} must be a list of addresses"
        return
    head, ips = str(provider["head_ip"]), [str(i) for i in provider["worker_ips"]]
    for ip in dict.fromkeys(i for i in ips if ips.count(i) > 1 or i == head):
        yield f"provider.worker_ips: {ip} stands there twice, or is the head's; a node each"
    least, most = config.get("min_workers", len(ips)), config.get("max_workers", len(ips))
    for key, value in (("min_workers", least), ("max_workers", most)):
        if not isinstance(value, int) or not 0 <= value <= len(ips):
            yield f"{key}: {short(value)} must be 0 to {len(ips)}, the number of worker_ips"
    if isinstance(least, int) and isinstance(most, int) and least > most:
        yield f"min_workers: {least} is above max_workers ({most})"


def types_of(config: Config) -> Iterator[str]:
    """Yield faults of the kinds of nodes: how many of each."""
    most = workers(config)
    for kind, node in kinds(config).items():
        where = f"available_node_types.{kind}"
        low, high = node.get("min_workers", 0), node.get("max_workers", most)
        if kind == config.get("head_node_type"):
            low, high = node.get("min_workers", 0), node.get("max_workers", 0)
        if high > most:
            yield f"{where}.max_workers: {high} is above the cluster's max_workers ({most})"
        if not 0 <= low <= high:
            yield f"{where}.min_workers: {low} must be 0 to max_workers ({high})"


def aws_of(config: Config) -> Iterator[str]:
    """Yield faults of an AWS file.

    Region, instance types against their declared resources, image, spot, and who may write.
    """
    if not config["provider"].get("region"):
        yield "provider.region: is missing, as us-west-2"
    on_s3 = any(place.startswith("s3://") for _, place in storages(config))
    for kind, node in kinds(config).items():
        where = f"available_node_types.{kind}"
        settings = node.get("node_config") or {}
        yield from _instance_of(where, node)
        if not settings.get("ImageId"):
            yield (
                f"{where}.node_config.ImageId: is missing; Ray's default image is of Ubuntu 18.04, "
                "whose Python is older than 3.11"
            )
        market = (settings.get("InstanceMarketOptions") or {}).get("MarketType")
        if market not in (None, "spot"):
            yield f"{where}.node_config.InstanceMarketOptions.MarketType: '{market}' must be spot"
        works = kind != config.get("head_node_type")
        if on_s3 and works and not settings.get("IamInstanceProfile"):
            yield (
                f"{where}.node_config.IamInstanceProfile: is missing; Ray gives workers none, and "
                "without one they cannot write to s3://"
            )


def _instance_of(where: str, node: Config) -> Iterator[str]:
    """Yield faults of one kind of node: its instance type and declared resources."""
    name = instance(node)
    if not name:
        yield f"{where}.node_config.InstanceType: is missing, as g5.xlarge"
    elif name not in INSTANCES:
        if not looks_real(name):
            yield f"{where}.node_config.InstanceType: no type '{name}'.{guess(name, INSTANCES)}"
    else:
        for resource, has in zip(("CPU", "GPU"), INSTANCES[name], strict=True):
            declared = (node.get("resources") or {}).get(resource)
            if declared is not None and declared > has:
                yield f"{where}.resources.{resource}: {declared}, but {name} has {has}"
