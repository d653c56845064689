pub(super) fn run(_: Args) -> Result<std::process::ExitCode, super::Failure> {
    Ok(super::NO)
}
#[derive(Debug, clap::Args)]
pub(super) struct Args {}
