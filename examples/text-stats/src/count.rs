use std::collections::HashMap;

use serde::Serialize;

#[derive(Debug, Serialize)]
pub(crate) struct Stats {
    characters: usize,
    characters_without_spaces: usize,
    words: usize,
    unique_words: usize,
    sentences: usize,
    paragraphs: usize,
    lines: usize,
    average_word_length: f64,
    average_sentence_length: f64,
    longest_word: Option<String>,
    most_frequent: Vec<Frequency>,
    /// Flesch's formula for English; none for a text without words.
    reading_ease: Option<f64>,
    /// At 238 words a minute (Brysbaert 2019).
    reading_seconds: f64,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Frequency {
    word: String,
    count: usize,
}

const WORDS_PER_MINUTE: f64 = 238.0;

pub(crate) fn stats(text: &str, top: usize) -> Stats {
    let words: Vec<String> = words(text).map(str::to_lowercase).collect();
    let sentences = sentences(text).max(usize::from(!words.is_empty()));
    let letters: usize = words.iter().map(|word| word.chars().count()).sum();
    let syllables: usize = words.iter().map(|word| syllables(word)).sum();

    let mut counts: HashMap<&str, usize> = HashMap::new();
    for word in &words {
        *counts.entry(word).or_default() += 1;
    }
    let unique_words = counts.len();
    let mut ranked: Vec<_> = counts.into_iter().collect();
    ranked.sort_unstable_by(|(a, many), (b, few)| few.cmp(many).then(a.cmp(b)));
    ranked.truncate(top);

    Stats {
        characters: text.chars().count(),
        characters_without_spaces: text.chars().filter(|c| !c.is_whitespace()).count(),
        words: words.len(),
        unique_words,
        sentences,
        paragraphs: paragraphs(text),
        lines: text.lines().count(),
        average_word_length: tenths(ratio(letters, words.len())),
        average_sentence_length: tenths(ratio(words.len(), sentences)),
        // `max_by_key` would take the last of equals; a reader expects the first.
        longest_word: words.iter().rev().max_by_key(|word| word.chars().count()).cloned(),
        most_frequent: ranked
            .into_iter()
            .map(|(word, count)| Frequency { word: word.to_owned(), count })
            .collect(),
        reading_ease: (!words.is_empty()).then(|| {
            tenths(206.835 - 1.015 * ratio(words.len(), sentences) - 84.6 * ratio(syllables, words.len()))
        }),
        reading_seconds: tenths(ratio(words.len(), 1) * 60.0 / WORDS_PER_MINUTE),
    }
}

/// Runs of letters and digits; an apostrophe or a hyphen inside one belongs to it, and so do the
/// signs inside a number.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let other = |c: char| !c.is_alphanumeric();
    text.split_whitespace()
        .flat_map(move |chunk| {
            let number = chunk.trim_matches(other).chars().all(|c| c.is_ascii_digit() || ".,:".contains(c));
            chunk.split(move |c| other(c) && !number && !matches!(c, '\'' | '’' | '-'))
        })
        .map(move |word| word.trim_matches(other))
        .filter(|word| !word.is_empty())
}

/// Ends of sentences: `.`, `!`, `?` or `…` before a space, a closing quote or the end, so that
/// `3.14` and `e.g.` inside a word do not count twice.
fn sentences(text: &str) -> usize {
    let mut count = 0;
    let mut words_since = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        words_since |= c.is_alphanumeric();
        let ends = matches!(c, '.' | '!' | '?' | '…' | '。' | '！' | '？');
        let then = chars
            .peek()
            .is_none_or(|next| next.is_whitespace() || matches!(next, '"' | '\'' | '”' | '’' | ')'));
        if ends && words_since && (then || !c.is_ascii()) {
            count += 1;
            words_since = false;
        }
    }
    count + usize::from(words_since)
}

fn paragraphs(text: &str) -> usize {
    let mut inside = false;
    let mut count = 0;
    for line in text.lines() {
        let blank = line.trim().is_empty();
        count += usize::from(!blank && !inside);
        inside = !blank;
    }
    count
}

/// Groups of vowels, less a silent `e` at the end: right for about nine English words in ten, which
/// is what the formula was made with.
fn syllables(word: &str) -> usize {
    let mut groups = 0;
    let mut in_vowels = false;
    for c in word.chars() {
        let vowel = matches!(c, 'a' | 'e' | 'i' | 'o' | 'u' | 'y' | 'ä' | 'ö' | 'ü' | 'é' | 'è' | 'à');
        groups += usize::from(vowel && !in_vowels);
        in_vowels = vowel;
    }
    if groups > 1 && word.ends_with('e') && !word.ends_with("le") {
        groups -= 1;
    }
    groups.max(1)
}

fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_text_is_counted() {
        let stats = stats("The cat sat. The dog didn't!\n\nPi is 3.14 here.", 2);
        assert_eq!((stats.words, stats.sentences, stats.paragraphs, stats.lines), (10, 3, 2, 3));
        assert_eq!(stats.most_frequent[0], Frequency { word: "the".into(), count: 2 });
        assert_eq!(stats.most_frequent.len(), 2);
        assert_eq!(stats.longest_word.as_deref(), Some("didn't"));
    }

    #[test]
    fn an_empty_text_has_no_reading_ease() {
        let stats = stats("", 5);
        assert_eq!((stats.words, stats.sentences, stats.reading_ease), (0, 0, None));
    }

    #[test]
    fn short_words_read_more_easily_than_long_ones() {
        let easy = stats("The cat sat on the mat.", 1).reading_ease;
        let hard =
            stats("Institutional considerations necessitate organisational deliberation.", 1).reading_ease;
        assert!(easy > hard, "{easy:?} {hard:?}");
    }
}
