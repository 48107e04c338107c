//! Runs the attack cases on this machine, with the programs that are installed here.
