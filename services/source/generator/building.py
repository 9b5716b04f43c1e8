"""From trees of sources to what each artifact is going to hold; nothing here waits."""

from collections.abc import Iterable, Mapping

from services.source.generator.assembly import Assembly, Budget
from services.source.generator.built_files import Built
from services.source.generator.copy_operation import CopyError
from services.source.generator.endings import BuildFailed
from services.source.generator.outputs import Output
from services.source.generator.tree import Tree
from services.source.generator.workbench import TooMuch, Workbench
from shared.resources.meta import NamespacedName
from shared.resources.source import ArtifactGenerator


def assembled(
    generator: ArtifactGenerator,
    outputs: Iterable[Output],
    trees: Mapping[str, Tree],
    bench: Workbench,
) -> list[Built]:
    budget = Budget()
    return [_built(generator, output, trees, Assembly(bench, budget)) for output in outputs]


def _built(
    generator: ArtifactGenerator, output: Output, trees: Mapping[str, Tree], assembly: Assembly
) -> Built:
    for place, copy in output.copies():
        try:
            assembly.copy(copy, trees[copy.alias])
        except CopyError as error:
            raise BuildFailed(f"{output.name}: {place}.{error}") from error
        except TooMuch as error:
            raise BuildFailed(f"{output.name}: {place}: the sources make {error}") from error
    if not len(assembly):
        raise BuildFailed(f"{output.name}: {output.place}: nothing is left to be in the artifact")
    key = NamespacedName(generator.metadata.namespace, output.name)
    return Built(key, output.place, assembly, assembly.listing())


def directories_of(generator: ArtifactGenerator, trees: Mapping[str, Tree]) -> dict[str, list[str]]:
    if not generator.spec.path_pattern:
        return {}
    return {alias: tree.directories for alias, tree in trees.items()}
