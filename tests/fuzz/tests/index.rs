//! The corpus of the target `index`, replayed.

use stockade_fuzz::{corpus, seeds};

#[test]
fn e5_the_corpus_is_harmless() {
    let inputs = corpus::replay("index", &seeds::index(), stockade_fuzz::index);
    assert!(inputs >= 4, "only {inputs} inputs are left of the corpus");
    println!("{inputs} inputs");
}
