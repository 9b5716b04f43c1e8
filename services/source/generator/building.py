"""From trees of sources to what each artifact is going to hold; nothing here waits or writes."""

from collections.abc import Mapping

from services.source.generator.assembly import Assembly, Budget
from services.source.generator.built_files import Built
from services.source.generator.copy_operation import CopyError
from services.source.generator.endings import BuildFailed
from services.source.generator.outputs import Output, outputs_of
from services.source.generator.tree import Tree
from services.source.generator.workbench import TooMuch, Workbench
from shared.resources.source import ArtifactGenerator


def build(generator: ArtifactGenerator, trees: Mapping[str, Tree], bench: Workbench) -> list[Built]:
    """`trees` by alias; raises BuildFailed, and ValidationFailed for names that come twice."""
    budget = Budget()
    outputs = outputs_of(generator, trees)
    return [_built(output, trees, Assembly(bench, budget)) for output in outputs]


def _built(output: Output, trees: Mapping[str, Tree], assembly: Assembly) -> Built:
    for place, copy in output.copies():
        try:
            assembly.copy(copy, trees[copy.alias])
        except CopyError as error:
            raise BuildFailed(f"{output.name}: {place}.{error}") from error
        except TooMuch as error:
            raise BuildFailed(f"{output.name}: {place}: the sources make {error}") from error
    if not len(assembly):
        raise BuildFailed(f"{output.name}: {output.place}: nothing is left to be in the artifact")
    return Built(output, assembly, assembly.listing())
