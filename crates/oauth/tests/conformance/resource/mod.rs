//! What the check of tokens accepts: tables of tokens and of proofs.

mod foreign;
mod own;
mod possession;

use haat_oauth::resource::Verifier;

/// One token, and whether it is good.
struct Case {
    name: &'static str,
    /// The section that it is about.
    section: &'static str,
    token: String,
    good: bool,
}

fn good(name: &'static str, section: &'static str, token: impl Into<String>) -> Case {
    Case { name, section, token: token.into(), good: true }
}

fn bad(name: &'static str, section: &'static str, token: impl Into<String>) -> Case {
    Case { good: false, ..good(name, section, token) }
}

/// Checks each of them twice: what was remembered the first time must not make a difference.
async fn check(verifier: &Verifier, cases: Vec<Case>) {
    let mut failures = Vec::new();
    for Case { name, section, token, good } in cases {
        for time in ["first", "second"] {
            if verifier.verify(&token).await.is_ok() != good {
                failures.push(format!("{name} ({section}): not {} the {time} time", if good { "good" } else { "bad" }));
            }
        }
        if verifier.at_hand(&token).is_some() != good {
            failures.push(format!("{name} ({section}): at hand though bad, or not though good"));
        }
    }
    assert!(failures.is_empty(), "{} tokens:\n  {}", failures.len(), failures.join("\n  "));
}
