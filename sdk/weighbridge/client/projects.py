"""Projects: create, list, change, delete; their inbox and their history."""

from collections.abc import Iterator

from weighbridge.client.session import PAGE, Session
from weighbridge.contract import types


class Projects(Session):
    """The routes under `/api/projects`."""

    def create_project(self, name: str, description: str = "") -> types.Project:
        """A new project. `AlreadyExists` if the name is taken, whatever its case."""
        body = types.NewProject(name, description)
        return self.call(types.Project, "POST", "projects", body=body)

    def project(self, project: str) -> types.Project:
        """One project."""
        return self.call(types.Project, "GET", "projects", project)

    def projects(self, limit: int = 100, page: str | None = None) -> types.ProjectPage:
        """A page of the projects that the token may read, by name."""
        query = {"limit": limit, "page": page}
        return self.call(types.ProjectPage, "GET", "projects", query=query)

    def iter_projects(self) -> Iterator[types.Project]:
        """All projects that the token may read."""
        return self._pages(lambda page: self.projects(PAGE, page))

    def change_project(
        self,
        project: str,
        description: str | None = None,
        inbox: bool | None = None,
        safety: types.SafetyPolicy | None = None,
        quota: types.Quota | None = None,
    ) -> types.Project:
        """Changes what is given; a quota is replaced as a whole."""
        body = types.ProjectChanges(description, inbox, safety, quota)
        return self.call(types.Project, "PATCH", "projects", project, body=body)

    def project_usage(self, project: str) -> types.ProjectUsage:
        """How much the project holds, and how much it may."""
        return self.call(types.ProjectUsage, "GET", "projects", project, "usage")

    def delete_project(self, project: str) -> types.Deleted:
        """Deletes an empty project; `InUse` while it has models."""
        return self.call(types.Deleted, "DELETE", "projects", project)

    def grant_inbox(self, project: str, days: int = 7) -> types.InboxGrant:
        """Credentials with which plain S3 clients may write under the project's inbox."""
        body = {"days": days}
        return self.call(
            types.InboxGrant, "POST", "projects", project, "inbox", body=body, repeatable=False
        )

    def inbox(self, project: str, limit: int = 100, page: str | None = None) -> types.InboxPage:
        """A page of inbox folders that are no checkpoints, by name."""
        query = {"limit": limit, "page": page}
        return self.call(types.InboxPage, "GET", "projects", project, "inbox", query=query)

    def events(
        self, project: str, model: str = "", limit: int = 100, page: str | None = None
    ) -> types.EventPage:
        """A page of the project's history, newest first; of one model if named."""
        query = {"model": model, "limit": limit, "page": page}
        return self.call(types.EventPage, "GET", "projects", project, "events", query=query)

    def iter_events(self, project: str, model: str = "") -> Iterator[types.Event]:
        """The whole history, newest first."""
        return self._pages(lambda page: self.events(project, model, PAGE, page))
