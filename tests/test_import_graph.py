"""No module of the package reaches itself by way of others; imports within functions and for types count too."""

import grimp

KNOWN: list[set[str]] = []


def circles(graph):
    """Sets of modules that reach each other."""
    edges = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}

    def reached(module):
        found, waiting = set(), [module]
        while waiting:
            fresh = edges[waiting.pop()] - found
            found |= fresh
            waiting += fresh
        return found

    reach = {module: reached(module) for module in edges}
    found = {frozenset(other for other in reach[module] if module in reach[other]) for module in edges}
    return [set(circle) for circle in found if circle]


def test_no_module_imports_itself_by_way_of_others():
    found = circles(grimp.build_graph("quantbench", cache_dir=None))
    assert [sorted(circle) for circle in found if circle not in KNOWN] == []


def test_circles_are_found():
    graph = grimp.ImportGraph()
    for importer, imported in (("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")):
        for module in (importer, imported):
            graph.add_module(module)
        graph.add_import(importer=importer, imported=imported)
    assert circles(graph) == [{"a", "b", "c"}]
