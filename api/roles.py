"""Narrow the node to the role that a route belongs to; a route is only mounted on nodes of its role."""

from core.errors import NotFound
from core.node import CentralNode, Node, SiteNode


def site_node(node: Node) -> SiteNode:
    if not isinstance(node, SiteNode):
        raise NotFound
    return node


def central_node(node: Node) -> CentralNode:
    if not isinstance(node, CentralNode):
        raise NotFound
    return node
