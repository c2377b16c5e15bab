"""Register a model that was trained here: a RUN or pipeline folder, tried out before it is taken."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from sqlmodel import select

from commands.main import given_path
from core.db import reading, transaction
from core.errors import NotFound, Refused
from core.inference import folder as model_folder
from core.models.people import User
from core.opening import open_node
from core.services import accounts, registry
from core.settings import load
from ml.model_file import BadModel
from ml.runtime import Model, Pipeline


def register_model(
    folder: Annotated[str, typer.Argument(metavar="RUN", help="the RUN or pipeline folder")],
    role: Annotated[str, typer.Option("--role", help="site or central")],
    by: Annotated[str, typer.Option(help="the name of the person who registers it")],
    domain: Annotated[str, typer.Option(help="the organ, or * for any")],
    accept: Annotated[bool, typer.Option(help="let it take effect at once; the person must be allowed to")] = False,
) -> None:
    """Put a trained model into the registry of a node. It takes effect when a person accepts it on the page Models."""
    run = given_path(folder)
    told = model_folder.read(model_folder.from_folder(run))
    _try(run, told.task)
    with open_node(load(role=role)) as node:
        with reading(node.engine) as session:
            user = session.exec(select(User).where(User.name == by, User.disabled_at == None)).first()  # noqa: E711
            if user is None:
                raise NotFound("There is no such user.")
            actor = accounts.actor_of(session, user)
        registry.keep_files(node, told)
        with transaction(node.engine, "admin.model") as session:
            model = registry.register(session, actor, told, domain)
            if accept:
                registry.take_effect(node, session, actor, model.id)
            state = model.state
    print(f"{told.name} v{told.version} for {domain}: {state}, {model.id}")


def _try(run: Path, task: str) -> None:
    """A model that does not run is no model. Raises Refused with what is wrong."""
    try:
        if task == "detect":
            Pipeline.open(run).frame(np.zeros((240, 320, 3), np.uint8))
        else:
            Model.open(run)
    except (BadModel, ValueError) as trouble:
        raise Refused(str(trouble)) from None
