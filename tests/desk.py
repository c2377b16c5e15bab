"""A site, and a browser at it that speaks English and may be anybody's."""

from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

from core.db import reading, transaction
from core.models.people import Role
from core.models.sitecase import CaseState, ImageState, SiteCase, SiteImage
from core.node import SiteNode
from core.security import session_cookie_name
from tests.served import Served


@dataclass
class Desk:
    """The site, and a browser that speaks English."""

    served: Served

    @classmethod
    def opened(cls, served: Served, people: dict[str, list[tuple[Role, str]]]) -> "Desk":
        for name, grants in people.items():
            served.person(name, grants)
        return cls(served)

    @property
    def node(self) -> SiteNode:
        return cast(SiteNode, self.served.node)

    def ask(self, name: str, method: str, path: str, part: str | None = None, **options: Any) -> Any:
        client = self.served.client
        client.cookies.clear()
        headers = {"sec-fetch-site": "same-origin", "accept": "text/html", "accept-language": "en"}
        headers |= {"hx-request": "true", "hx-target": part} if part else {}
        client.cookies.set(session_cookie_name(self.served.settings), self.served.cookie(name))
        return client.request(method, path, headers=headers, **options)

    def get(self, name: str, path: str = "/schedule", part: str | None = None) -> str:
        answer = self.ask(name, "GET", path, part)
        assert answer.status_code == 200, answer.text
        return str(answer.text)

    def post(self, path: str, data: dict[str, Any], name: str = "tech") -> Any:
        return self.ask(name, "POST", path, data=data)

    def add_case(
        self, state: CaseState, expected: int | None = None, arrived: int = 0, flagged_by: str = "curator", **more: Any
    ) -> UUID:
        user = self.served.people[flagged_by]
        with transaction(self.node.engine, "test.case") as session:
            case = SiteCase(
                **({"domain": "liver"} | more), state=state, route="rest", flagged_by=user.id, expected=expected
            )
            session.add(case)
            session.flush()
            for number in range(1, arrived + 1):
                session.add(SiteImage(case_id=case.id, number=number, state=ImageState.STAGED, size=1))
            return case.id

    def case(self, case_id: UUID) -> SiteCase:
        with reading(self.node.engine) as session:
            return session.get_one(SiteCase, case_id)
