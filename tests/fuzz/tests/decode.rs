//! The corpus of the target `decode`, replayed. A program of its own, since the target counts what the whole
//! process holds.

use stockade_fuzz::{corpus, seeds};

#[test]
fn b20_the_corpus_is_harmless() {
    let inputs = corpus::replay("decode", &seeds::decode(), stockade_fuzz::decode);
    assert!(inputs >= 10, "only {inputs} inputs are left of the corpus");
    println!("{inputs} inputs");
}
