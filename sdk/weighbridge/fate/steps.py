"""Which checkpoints of a tree the registry lacks, and sending them: what import and sync share."""

from collections.abc import Iterable
from dataclasses import dataclass

from weighbridge.contract.errors import (
    FileChanged,
    Forbidden,
    RegistryError,
    Throttled,
    TransferError,
    Unauthenticated,
    Unavailable,
)
from weighbridge.fate import digests, markers
from weighbridge.fate.layout import Step, Tree
from weighbridge.fate.remote import Key, Remote
from weighbridge.fate.reports import StepReport

ENDING: tuple[type[RegistryError], ...] = (
    Forbidden, Throttled, TransferError, Unauthenticated, Unavailable,
)  # fmt: skip
"""What is wrong with the server or the token, not with a tree: whatever follows would fail alike."""


@dataclass(frozen=True, slots=True)
class Looked:
    """One look at a tree's checkpoints; `dry_run` sends nothing and says what would be sent."""

    tree: Tree
    remote: Remote
    max_to_keep: int | None = None
    dry_run: bool = False
    unfinished: bool = True
    """Whether folders without a marker are reported, too."""

    def run(self, skip: Iterable[Key] = ()) -> list[StepReport]:
        """Sends what is complete and missing, in order; `skip` are known to be alike."""
        markers.yaml_needed()  # before anything is looked at
        steps, unfinished = self.tree.steps()
        known, kept = set(skip), self._kept(steps)
        found = []
        for step in steps:
            if step.key in known:
                continue
            if step.key not in kept and step.key not in self.remote.known:
                found.append(StepReport(*step.key, "evicted"))
                continue
            report = self._one(step)
            if report is not None:
                found.append(report)
        for folder in unfinished if self.unfinished else ():
            parsed = markers.parse_folder(folder.name)
            assert parsed is not None
            name = "" if folder.parent.name == "-" else folder.parent.name
            found.append(StepReport(name, *parsed, "unfinished", f"{markers.MARKER} is missing"))
        return found

    def _kept(self, steps: Iterable[Step]) -> set[Key]:
        """The highest indices of each component, here and in the registry together: what FATE's own
        retention keeps. An older one that was evicted is not sent again."""
        keys = {step.key for step in steps} | set(self.remote.known)
        if not self.max_to_keep:
            return keys
        kept: set[Key] = set()
        for component in {key[0] for key in keys}:
            own = sorted(key for key in keys if key[0] == component)
            kept |= set(own[-self.max_to_keep :])
        return kept

    def _one(self, step: Step) -> StepReport | None:
        try:
            local = markers.check(step.folder, step.index, step.name)
            if step.key in self.remote.known:
                found = self.remote.step_differences(step, local)
                if found:
                    text = "; ".join(digests.shortened(found))
                    return StepReport(*step.key, "failed", f"{step.shown}: {text}")
                return StepReport(*step.key, "same")
            sent = 0 if self.dry_run else self.remote.push_step(step, local)
            return StepReport(*step.key, "pushed", sent_bytes=sent)
        except FileNotFoundError:
            return None  # evicted by its own training meanwhile
        except FileChanged as error:
            return StepReport(*step.key, "failed", f"{step.shown}: {error.message}")
        except ENDING:
            raise
        except RegistryError as error:
            return StepReport(*step.key, "failed", f"{step.shown}: {error.message}")
        except OSError as error:
            return StepReport(*step.key, "failed", f"{step.shown}: {error}")
