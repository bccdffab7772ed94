//! Page tokens of every kind: a refusal is a client error, no offset is negative, and our own tokens
//! round-trip.
#![no_main]

use ferroflow::domain::evaluation_dataset::records::PageStart;
use ferroflow::domain::logged_model::LoggedModelPage;
use ferroflow::domain::page::{offset_token, parse_offset_token};
use ferroflow::proto::SearchLoggedModels;
use ferroflow_fuzz::{is_refusal, within};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let most = 8192 + 200 * text.len();
    match within(most, || parse_offset_token(Some(text))) {
        Ok(offset) => {
            assert!(offset >= 0, "{text:?} is {offset}");
            if offset > 0 {
                assert_eq!(parse_offset_token(Some(&offset_token(offset))).ok(), Some(offset));
            }
        }
        Err(error) => is_refusal(&error, text.len()),
    }
    match within(most, || PageStart::parse(Some(text))) {
        Ok(PageStart::Offset(offset)) => assert!(offset >= 0, "{text:?} is {offset}"),
        Ok(PageStart::After(..)) => {}
        Err(error) => is_refusal(&error, text.len()),
    }
    let mut search = search(text);
    match within(most, || LoggedModelPage::try_from(&search)) {
        Ok(page) => {
            assert!(page.offset >= 0, "{text:?} is {}", page.offset);
            search.page_token = Some(page.next_token());
            let next = LoggedModelPage::try_from(&search).expect("it is of the same search");
            assert_eq!(next.offset, page.offset.saturating_add(page.limit), "{text:?}");
        }
        Err(error) => is_refusal(&error, text.len()),
    }
});

/// The search to which the tokens of the corpus belong.
fn search(text: &str) -> SearchLoggedModels {
    SearchLoggedModels {
        experiment_ids: vec!["1".into()],
        page_token: Some(text.to_owned()),
        ..SearchLoggedModels::default()
    }
}
