//! What holds for every document, every grant and every ask.

mod decide;
mod guest_path;
mod made;
mod resolve;
mod scope;
mod small_world;
mod weigh;
