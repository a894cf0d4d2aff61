"""Values for a definition's templates, and the `[custom]` section that they render."""

from __future__ import annotations

from gantry import errors, inventory, names, templates
from gantry.agent import addresses
from gantry.definition import models, template_facts


class CustomFactError(errors.GantryError):
    """A template under `custom:` cannot be rendered."""

    def __init__(self, service: names.ServiceName, key: str, reason: str) -> None:
        self.service = service
        self.key = key
        super().__init__(
            f"services.{service}.custom.{key}: {reason}\n"
            f"A template may use deployment, tier, service, server, dependencies and peers, which are plain data, "
            f"and Jinja's filters."
        )


def custom(
    definition: models.Definition,
    servers: inventory.Inventory,
    name: names.ServiceName,
    server: inventory.Server,
) -> dict[str, str]:
    """Return the custom facts of a service, rendered for one of its servers.

    Raises:
        CustomFactError: a template refers to something that does not exist.
        MissingAddressError: a server that it may refer to has no address yet.
    """
    known = _in_custom(definition, servers, name, server).known()
    rendered: dict[str, str] = {}
    for key, value in definition.services[name].custom.items():
        try:
            text = str(value).lower() if isinstance(value, bool) else str(value)
            rendered[key] = templates.render(text, known)
        except templates.TemplateError as error:
            raise CustomFactError(name, key, error.reason) from error
    return rendered


def deployment_facts(definition: models.Definition) -> template_facts.TemplateDeployment:
    """Return what templates may know of the deployment."""
    return template_facts.TemplateDeployment(name=definition.deployment, description=definition.description)


def server_facts(server: inventory.Server) -> template_facts.TemplateServer:
    """Return what templates may know of a server. Raises MissingAddressError."""
    return template_facts.TemplateServer(
        name=server.name, slot=server.slot, address=addresses.of(server), id=server.instance_id
    )


def _in_custom(
    definition: models.Definition,
    servers: inventory.Inventory,
    name: names.ServiceName,
    server: inventory.Server,
) -> template_facts.InCustom:
    service = definition.services[name]
    return template_facts.InCustom(
        deployment=deployment_facts(definition),
        tier=template_facts.TemplateTier(name=service.tier),
        service=template_facts.TemplateService(
            name=name, id=service.id, port=service.main_port, ports=_ports_of(service)
        ),
        server=server_facts(server),
        peers=tuple(server_facts(each) for each in servers.of_tier(service.tier)),
        dependencies={
            each.service: template_facts.TemplateDependency(
                addresses=addresses.of_service(definition, servers, each.service),
                port=definition.services[each.service].main_port,
                ports=_ports_of(definition.services[each.service]),
            )
            for each in service.depends_on
        },
    )


def _ports_of(service: models.Service) -> dict[str, int] | None:
    """Return the named ports. None if there are none, so that a template that refers to one fails."""
    return {name: each.port for name, each in service.ports.items()} or None
