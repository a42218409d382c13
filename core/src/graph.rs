//! Who depends on whom.

/// A node in its place in the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ordered {
    pub(crate) node: usize,
    /// Whether the node depends on itself, directly or through others.
    pub(crate) cyclic: bool,
}

/// The nodes `touched` of the graph whose node `n` depends on `dependencies[n]`, and all that depend on them, directly or
/// through others: each after those of them that it depends on, where there is no cycle.
///
/// Tarjan's strongly connected components, with a stack of its own, so that a chain of any length is safe. Costs
/// O(nodes + edges).
pub(crate) fn affected(dependencies: &[Vec<usize>], touched: &[usize]) -> Vec<Ordered> {
    let nodes = affected_nodes(dependencies, touched);
    let mut search = Search { nodes, order: Vec::new(), open: Vec::new(), n_found: 0 };
    let mut path: Vec<(usize, std::slice::Iter<'_, usize>)> = Vec::new();
    for (root, edges) in dependencies.iter().enumerate() {
        if search.enter(root) {
            path.push((root, edges.iter()));
        }
        while let Some((node, edges)) = path.last_mut() {
            let node = *node;
            if let Some(&next) = edges.next() {
                if search.enter(next) {
                    path.push((next, dependencies.get(next).map_or([].iter(), |edges| edges.iter())));
                } else {
                    search.reach(node, next);
                }
            } else {
                path.pop();
                search.leave(node);
                if let Some((parent, _)) = path.last() {
                    search.reach(*parent, node);
                }
            }
        }
    }
    search.order
}

/// Nodes that were not found yet, with [`Node::affected`] set.
fn affected_nodes(dependencies: &[Vec<usize>], touched: &[usize]) -> Vec<Node> {
    let mut dependents = vec![Vec::new(); dependencies.len()];
    for (node, needed) in dependencies.iter().enumerate() {
        for needed in needed {
            if let Some(dependents) = dependents.get_mut(*needed) {
                dependents.push(node);
            }
        }
    }
    let mut nodes = vec![Node::default(); dependencies.len()];
    let mut reached = touched.to_vec();
    while let Some(node) = reached.pop() {
        if let Some(state) = nodes.get_mut(node)
            && !std::mem::replace(&mut state.affected, true)
        {
            reached.extend(dependents.get(node).into_iter().flatten());
        }
    }
    nodes
}

#[derive(Clone, Copy, Default)]
struct Node {
    /// Whether it is to be found.
    affected: bool,
    /// When the node was found, counted from 1; 0: not yet.
    found: usize,
    /// The earliest found node that this one is known to reach.
    reaches: usize,
    /// Whether its component is still open.
    open: bool,
    /// Whether it is among its own dependencies.
    needs_itself: bool,
}

struct Search {
    nodes: Vec<Node>,
    order: Vec<Ordered>,
    open: Vec<usize>,
    n_found: usize,
}

#[expect(clippy::indexing_slicing, reason = "nodes are made for all indexes, and edges are indexes")]
impl Search {
    /// Whether the node is affected and new.
    fn enter(&mut self, node: usize) -> bool {
        let is_new = self.nodes[node].affected && self.nodes[node].found == 0;
        if is_new {
            self.n_found += 1;
            self.nodes[node] = Node { found: self.n_found, reaches: self.n_found, open: true, ..self.nodes[node] };
            self.open.push(node);
        }
        is_new
    }

    fn reach(&mut self, node: usize, next: usize) {
        if self.nodes[next].open {
            self.nodes[node].reaches = self.nodes[node].reaches.min(self.nodes[next].reaches);
            self.nodes[node].needs_itself |= node == next;
        }
    }

    fn leave(&mut self, node: usize) {
        if self.nodes[node].reaches < self.nodes[node].found {
            return;
        }
        let first = self.open.iter().rposition(|open| *open == node).unwrap_or_default();
        let cyclic = self.open.len() - first > 1 || self.nodes[node].needs_itself;
        for member in self.open.drain(first..) {
            self.nodes[member].open = false;
            self.order.push(Ordered { node: member, cyclic });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Ordered, affected};

    /// `expected`: the nodes in their order, those of cycles with a `*`.
    #[track_caller]
    fn check(dependencies: &[&[usize]], touched: &[usize], expected: &str) {
        let dependencies: Vec<_> = dependencies.iter().map(|edges| edges.to_vec()).collect();
        let order = affected(&dependencies, touched);
        let shown = order.iter().map(|Ordered { node, cyclic }| format!("{node}{}", if *cyclic { "*" } else { "" }));
        assert_eq!(shown.collect::<Vec<_>>().join(" "), expected);
    }

    #[test]
    fn dependencies_come_first() {
        check(&[&[1, 2], &[2], &[], &[0]], &[0, 1, 2, 3], "2 1 0 3");
    }

    #[test]
    fn cycles_are_found() {
        check(&[&[0]], &[0], "0*");
        check(&[&[1], &[2], &[0], &[0]], &[1], "0* 1* 2* 3");
        // Two cycles, and a node between them that is in neither.
        check(&[&[1], &[0, 2], &[3], &[4], &[3]], &[4], "3* 4* 2 0* 1*");
    }

    #[test]
    fn only_what_is_affected_is_found() {
        check(&[&[1], &[2], &[], &[2]], &[1], "1 0");
        check(&[&[1], &[0, 2], &[3], &[4], &[3]], &[0], "0* 1*");
        check(&[&[], &[]], &[], "");
    }

    #[test]
    fn a_long_chain_needs_no_stack() {
        let n_nodes = 100_000;
        let chain: Vec<_> = (0..n_nodes).map(|node| if node + 1 < n_nodes { vec![node + 1] } else { vec![] }).collect();
        let order = affected(&chain, &[n_nodes - 1]);
        assert!(order.iter().rev().map(|ordered| ordered.node).eq(0..n_nodes));
    }
}
