"""The operator's verbs: keys, people, sites, tokens, audit."""

import json
from datetime import timedelta
from typing import Annotated

import typer
from sqlmodel import Session, select

from commands.annex_e import annex_e
from commands.import_folder import import_folder
from commands.register_model import register_model
from core import audit
from core.db import transaction
from core.errors import Malformed, NotFound
from core.models.bank import Site
from core.models.people import Role, User
from core.opening import open_node
from core.package import central_keys, signing
from core.permissions import Actor
from core.services import accounts, chain, people
from core.settings import load
from core.vault import create_keys, load_keys

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
keys_app = typer.Typer(no_args_is_help=True, help="Keys of this node, in SONOBANK_KEYS_DIR.")
audit_app = typer.Typer(no_args_is_help=True, help="The audit chain.")
app.add_typer(keys_app, name="keys")
app.add_typer(audit_app, name="audit")
app.command("annex-e")(annex_e)
app.command("import-folder")(import_folder)
app.command("register-model")(register_model)

RoleOption = Annotated[str, typer.Option("--role", help="site, relay, central or pacs")]
OPERATOR = Actor("operator", None)


@keys_app.command("create")
def keys_create(role: RoleOption) -> None:
    """Make the keys of a site or of central; existing ones are never overwritten. Back them up apart from the data."""
    settings = load(role=role)
    if role == "central":
        central_keys.create(settings.keys)
    elif role == "site":
        create_keys(settings.keys / "site")
    else:
        raise Malformed("Only a site and central have keys of their own.")
    print(f"made in {settings.keys}")


@keys_app.command("public")
def keys_public(role: RoleOption) -> None:
    """Print the public half: central's for SONOBANK_CENTRAL_KEYS_FILE of the sites, a site's for `admin site`."""
    settings = load(role=role)
    if role == "central":
        print(central_keys.load(settings.keys, settings.data_dir).public().dump())
    else:
        print(signing.write_public(load_keys(settings.keys / "site", settings.data_dir).signer().public_key()))


@app.command("site")
def site_add(
    role: RoleOption, code: str, key: Annotated[str, typer.Option(help="the site's public signing key")], name: str = ""
) -> None:
    """Register a site that may send, at central and at the relay. A further key of a known site is added."""
    with open_node(load(role=role)) as node, transaction(node.engine, "admin.site") as session:
        add_site(session, code, name, key)
    print(f"site {code} may send")


def add_site(session: Session, code: str, name: str, key: str) -> None:
    """Add the site or one more key of it."""
    site = session.get(Site, code) or Site(code=code, name=name or code)
    site.keys = site.keys | {signing.key_id(signing.read_public(key)): key}
    session.add(site)
    audit.record(session, OPERATOR, "site.add", code)


@app.command("user")
def user_add(
    role: RoleOption,
    name: str,
    grant: Annotated[list[str], typer.Option(help="ROLE or ROLE:domain; may be repeated")],
    password: Annotated[str, typer.Option(prompt=True, hide_input=True, confirmation_prompt=True)],
    site: Annotated[str | None, typer.Option(help="of a MACHINE: the site it speaks for, or *")] = None,
) -> None:
    """Add a person or a machine to this node."""
    grants = [_grant(text) for text in grant]
    with open_node(load(role=role)) as node, transaction(node.engine, "admin.user") as session:
        accounts.create_user(session, OPERATOR, name, password or None, grants, site)
    print(f"user {name} added")


@app.command("password")
def password_reset(role: RoleOption, name: str) -> None:
    """Give a person another password, printed this once; their sessions and tokens end."""
    with open_node(load(role=role)) as node, transaction(node.engine, "admin.password") as session:
        password = people.reset_password(session, OPERATOR, _named(session, name).id)
    print(password)


@app.command("totp")
def totp_reset(role: RoleOption, name: str) -> None:
    """Switch off the one-time password of a person who lost it; their sessions and tokens end."""
    with open_node(load(role=role)) as node, transaction(node.engine, "admin.totp") as session:
        people.reset_totp(session, OPERATOR, _named(session, name).id)
    print(f"{name} signs in with the password alone now")


def _named(session: Session, name: str) -> User:
    user = session.exec(select(User).where(User.name == name)).first()
    if user is None:
        raise NotFound("There is no such user.")
    return user


def _grant(text: str) -> tuple[Role, str]:
    code, _, domain = text.partition(":")
    try:
        return Role(code), domain or "*"
    except ValueError:
        raise Malformed(f"There is no such role; the roles are {', '.join(Role)}.") from None


@app.command("token")
def token_create(
    role: RoleOption,
    user: str,
    scope: Annotated[list[str], typer.Option(help="may be repeated")],
    days: int = 90,
    label: str = "operator",
) -> None:
    """Print a new token of a user; it is shown this once."""
    with open_node(load(role=role)) as node, transaction(node.engine, "admin.token") as session:
        owner = _named(session, user)
        _, secret = accounts.create_token(session, owner, label, scope, timedelta(days=days), OPERATOR)
    print(secret)


@audit_app.command("verify")
def audit_verify(role: RoleOption, as_json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """Walk the audit chain; exit 1 when an event was altered, deleted, reordered, or the chain cut or rewritten."""
    with open_node(load(role=role)) as node:
        heads, forged = chain.exported_heads(node)
        findings = forged + audit.verify(node.engine, heads)
    if as_json:
        print(json.dumps([finding.__dict__ for finding in findings]))
    for finding in findings if not as_json else []:
        print(f"{finding.kind}: {finding.message}")
    if findings:
        raise typer.Exit(1)
    if not as_json:
        print(f"the chain holds; {len(heads)} exported heads are in it")
