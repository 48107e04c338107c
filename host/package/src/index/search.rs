use std::cmp::Reverse;

use super::{Index, Listed};

/// Where a word was found, best last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Description,
    InName,
    /// The publisher, or the name behind it.
    Part,
    WholeName,
}

impl Index {
    /// The plugins in whose name or description every one of these words is, best first: those that are called so before
    /// those that mention it. All plugins by name, where there are no words.
    pub fn search(&self, words: &[&str]) -> Vec<&Listed> {
        let words: Vec<String> = words.iter().map(|word| word.to_lowercase()).collect();
        let mut found: Vec<(Vec<Place>, &Listed)> = Vec::new();
        for listed in &self.plugins {
            let description = listed.description.to_lowercase();
            let places = words.iter().map(|word| place(word, &listed.name, &description));
            if let Some(mut places) = places.collect::<Option<Vec<_>>>() {
                places.sort_unstable_by(|a, b| b.cmp(a));
                found.push((places, listed));
            }
        }
        // Stable: what is as good as another stays in the order of names.
        found.sort_by_key(|(places, _)| Reverse(places.clone()));
        found.into_iter().map(|(_, listed)| listed).collect()
    }
}

fn place(word: &str, name: &str, description: &str) -> Option<Place> {
    if name == word {
        Some(Place::WholeName)
    } else if name.split('/').any(|part| part == word) {
        Some(Place::Part)
    } else if name.contains(word) {
        Some(Place::InName)
    } else {
        description.contains(word).then_some(Place::Description)
    }
}
