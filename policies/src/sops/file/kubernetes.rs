//! What Kubernetes has to read in a file that is encrypted: Flux applies no object whose kind is hidden.

use super::{File, Recipe};
use crate::sops::problem::{Problem, ProblemKind};
use crate::sops::tree::{Branch, Item, Stop, Visit, walk};

/// What an API server has to read of an object.
const HEADER: [&str; 3] = ["apiVersion", "kind", "metadata"];
/// What says what the object is, beside its header, and is no secret.
const NATURE: [&str; 2] = ["type", "immutable"];

/// Whether something of a document says what the object is: nobody means that to be encrypted, whatever the
/// selector of a rule that was not made for objects says.
pub(super) fn is_nature(document: &Branch, visit: &Visit<'_, '_>) -> bool {
    // What stands at no key is a comment before all keys or behind them.
    let of_nature = |top: &&str| HEADER.contains(top) || NATURE.contains(top);
    visit.path.first().is_none_or(of_nature) && is_object(document)
}

impl File<'_> {
    /// The first part of a Kubernetes object that the recipe would encrypt and that an API server has to read:
    /// `apiVersion`, `kind`, `metadata`. `None` where all is well, or no document is an object.
    pub fn hidden_header(&self, recipe: &Recipe) -> Option<Problem> {
        let selector = recipe.selector_for(self.format);
        let mut hidden = None;
        for document in self.parsed.documents.iter().filter(|document| is_object(document)) {
            walk(document, &selector, &mut |visit| {
                let (Stop::Leaf(plain, site), Some(top)) = (visit.stop, visit.path.first()) else { return };
                if HEADER.contains(top) && visit.covered && !plain.is_empty() && hidden.is_none() {
                    let key = visit.key_path();
                    let span = self.parsed.layout.span(site);
                    hidden = Some(Problem::at(ProblemKind::HiddenHeader, span).key(key));
                }
            });
        }
        hidden
    }
}

fn is_object(document: &Branch) -> bool {
    let has =
        |name: &str| document.items.iter().any(|item| matches!(item, Item::Entry(key, _) if key == name));
    has("apiVersion") && has("kind")
}
