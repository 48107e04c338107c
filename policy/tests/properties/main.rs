//! What holds for every document, every grant and every ask.

mod decide;
mod guest_path;
mod made;
mod resolve;
