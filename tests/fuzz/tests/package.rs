//! The corpus of the target `package`, replayed.

use stockade_fuzz::{corpus, seeds};

#[test]
fn e1_the_corpus_is_harmless() {
    let inputs = corpus::replay("package", &seeds::package(), stockade_fuzz::package);
    assert!(inputs >= 5, "only {inputs} inputs are left of the corpus");
    println!("{inputs} inputs");
}
