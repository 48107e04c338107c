//! Groups B1, B4, B6, B11 and B21 of the attack list, as far as frames, messages and descriptors go.

mod descriptors;
mod frames;
mod made;
mod phases;
mod world;
