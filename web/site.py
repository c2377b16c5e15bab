"""The hospital's node, for pages that only a hospital has."""

from typing import Annotated

from fastapi import Depends

from core.errors import NotFound
from core.node import SiteNode
from web.deps import NodeDep


def site_of(node: NodeDep) -> SiteNode:
    """Raises NotFound on a node of another role."""
    if not isinstance(node, SiteNode):
        raise NotFound
    return node


SiteDep = Annotated[SiteNode, Depends(site_of)]
