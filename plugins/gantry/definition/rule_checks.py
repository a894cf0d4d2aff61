"""Checks of scaling rules that can never work. Unknown names: see `references`."""

from __future__ import annotations

from collections.abc import Iterator

from gantry.definition import fields, models, references


def findings(definition: models.Definition) -> Iterator[references.Finding]:
    """Yield everything that is wrong between a rule and the rest of the definition."""
    for name, tier in definition.tiers.items():
        rule = tier.rule
        if rule is None:
            continue
        here = ("tiers", name, "rule")
        if tier.servers.min == tier.servers.max:
            yield (
                here,
                f"tier {name!r} always has {tier.servers.min} servers; a rule needs a range, such as "
                f"servers: {{min: {tier.servers.min}, max: {tier.servers.min + 1}}}",
            )
        if definition.watch is None:
            yield here, "the servers are not watched; write watch: {every: 1m} beside tiers"
        elif rule.breach_period < definition.watch.every:
            yield (
                (*here, "breach_period") if "breach_period" in rule.model_fields_set else here,
                f"a breach period of {fields.written(rule.breach_period)} is shorter than the time between two looks "
                f"(watch.every, {fields.written(definition.watch.every)})",
            )
        service = definition.services.get(rule.check) if rule.check is not None else None
        if service is not None and service.tier != name:
            yield (
                (*here, "check"),
                f"service {rule.check!r} runs on tier {service.tier!r}, and not on tier {name!r}",
            )
