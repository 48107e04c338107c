//! Under construction.

/// Builds the example plugins.
pub(crate) fn build_examples(_: &mut dyn FnMut(&str)) -> anyhow::Result<()> {
    Ok(())
}

/// Builds the test guests.
pub(crate) fn build_test_guests(_: &mut dyn FnMut(&str)) -> anyhow::Result<()> {
    Ok(())
}
