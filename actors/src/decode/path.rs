//! Paths into JSON, and the tree that they make together: a message is walked
//! once for all of them.

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A member of an object.
    Name(String),
    /// An item of an array, from 0.
    Item(usize),
}

/// Reads `$.a.b`, `a.b[0]`, `['a.b'].c` or `$`.
pub(super) fn parse(text: &str) -> Result<Vec<Step>, String> {
    let fault = |what: &str| {
        format!("path {text:?}: {what}; write it like $.sensor.id, list[0] or ['a.b']")
    };
    let mut rest = text.strip_prefix('$').unwrap_or(text);
    let mut steps = Vec::new();
    if text.is_empty() {
        return Err(fault("it is empty"));
    }
    let mut needs_dot = rest.len() != text.len();
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix("['") {
            let (name, tail) = inner.split_once("']").ok_or_else(|| fault("a ['...'] is open"))?;
            steps.push(Step::Name(name.into()));
            rest = tail;
        } else if let Some(inner) = rest.strip_prefix('[') {
            let (number, tail) = inner.split_once(']').ok_or_else(|| fault("a [...] is open"))?;
            let number = number.parse().map_err(|_| fault("an item is not a number"))?;
            steps.push(Step::Item(number));
            rest = tail;
        } else {
            let name = match rest.strip_prefix('.') {
                Some(name) => name,
                None if needs_dot => return Err(fault("a dot or a bracket is missing")),
                None => rest,
            };
            let end = name.find(['.', '[']).unwrap_or(name.len());
            if end == 0 {
                return Err(fault("a name is empty"));
            }
            steps.push(Step::Name(name[..end].into()));
            rest = &name[end..];
        }
        needs_dot = true;
    }
    Ok(steps)
}

/// The name of a path's last step, if it is a name.
pub(super) fn last_name(text: &str) -> Option<String> {
    match parse(text).ok()?.pop()? {
        Step::Name(name) => Some(name),
        Step::Item(_) => None,
    }
}

/// Where no path leads on.
pub(super) const NOWHERE: u32 = u32::MAX;

/// All paths of a format as one tree. The node 0 is the message.
#[derive(Debug, Default)]
pub(super) struct PathTree {
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    names: Vec<(Box<[u8]>, u32)>,
    items: Vec<(usize, u32)>,
    slot: Option<usize>,
    /// The slots at and below this node.
    below: Vec<usize>,
}

impl PathTree {
    /// A tree of the paths; the slot of each is its index. A path that is there
    /// twice has the slot of the first.
    pub(super) fn new(paths: &[Vec<Step>]) -> (Self, Vec<usize>) {
        let mut tree = Self { nodes: vec![Node::default()] };
        let slots = paths.iter().enumerate().map(|(slot, path)| tree.add(path, slot)).collect();
        (tree, slots)
    }

    fn add(&mut self, path: &[Step], slot: usize) -> usize {
        let mut at = 0;
        let mut walked = vec![at];
        for step in path {
            let next = self.nodes.len() as u32;
            let node = &mut self.nodes[at];
            let known = match step {
                Step::Name(name) => {
                    node.names.iter().find(|n| *n.0 == *name.as_bytes()).map(|n| n.1)
                }
                Step::Item(item) => node.items.iter().find(|n| n.0 == *item).map(|n| n.1),
            };
            at = match known {
                Some(known) => known as usize,
                None => {
                    match step {
                        Step::Name(name) => node.names.push((name.as_bytes().into(), next)),
                        Step::Item(item) => node.items.push((*item, next)),
                    }
                    self.nodes.push(Node::default());
                    next as usize
                }
            };
            walked.push(at);
        }
        if let Some(slot) = self.nodes[at].slot {
            return slot;
        }
        self.nodes[at].slot = Some(slot);
        walked.into_iter().for_each(|n| self.nodes[n].below.push(slot));
        slot
    }

    /// The node of a member.
    pub(super) fn member(&self, node: u32, name: &[u8]) -> u32 {
        let Some(node) = self.nodes.get(node as usize) else { return NOWHERE };
        // Most names differ in length or in their first byte, which is cheaper to
        // see than by a comparison of memory.
        let is_it = |(n, _): &&(Box<[u8]>, u32)| {
            n.len() == name.len() && n.first() == name.first() && **n == *name
        };
        node.names.iter().find(is_it).map_or(NOWHERE, |n| n.1)
    }

    /// The node of an item.
    pub(super) fn item(&self, node: u32, item: usize) -> u32 {
        let Some(node) = self.nodes.get(node as usize) else { return NOWHERE };
        node.items.iter().find(|n| n.0 == item).map_or(NOWHERE, |n| n.1)
    }

    /// The slot that the value of a node goes to.
    pub(super) fn slot(&self, node: u32) -> Option<usize> {
        self.nodes.get(node as usize)?.slot
    }

    /// The slots at and below a node.
    pub(super) fn slots_below(&self, node: u32) -> &[usize] {
        self.nodes.get(node as usize).map_or(&[], |n| &n.below)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> Step {
        Step::Name(name.into())
    }

    #[test]
    fn paths_are_read_with_and_without_a_dollar() {
        assert_eq!(parse("$").unwrap(), []);
        assert_eq!(parse("$.a.b").unwrap(), [name("a"), name("b")]);
        assert_eq!(parse("a.b").unwrap(), [name("a"), name("b")]);
        assert_eq!(parse("a[12].b").unwrap(), [name("a"), Step::Item(12), name("b")]);
        assert_eq!(parse("$['a.b']['c']").unwrap(), [name("a.b"), name("c")]);
        assert_eq!(parse("[0]").unwrap(), [Step::Item(0)]);
        assert_eq!(parse("größe").unwrap(), [name("größe")]);
    }

    #[test]
    fn what_is_no_path_is_refused_in_words() {
        for text in ["", "$a", "a..b", "a.", "a[x]", "a[0", "['a", "[0]b", "$."] {
            let fault = parse(text).unwrap_err();
            assert!(fault.contains("write it like"), "{text}: {fault}");
        }
    }

    #[test]
    fn names_come_from_the_last_step() {
        assert_eq!(last_name("$.a.b").as_deref(), Some("b"));
        assert_eq!(last_name("a[0]"), None);
    }
}
