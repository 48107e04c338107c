//! The corpus of the target `session`, replayed. A program of its own, since the target counts what the whole
//! process holds.

use stockade_fuzz::{corpus, seeds};

#[test]
fn b20_the_corpus_is_harmless() {
    let inputs = corpus::replay("session", &seeds::session(), stockade_fuzz::session);
    stockade_fuzz::close();
    assert!(inputs >= 10, "only {inputs} inputs are left of the corpus");
    println!("{inputs} inputs");
}
