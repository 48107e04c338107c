use crate::error::AttackError;

/// Which cases were asked for: numbers (`A31`), ids (`A31.mmap-rwx`), or none for all.
#[derive(Debug, Default)]
pub(crate) struct Selection(Vec<String>);

impl Selection {
    /// Checks every wish against what there is: pairs of id and case.
    pub(crate) fn new(wishes: &[String], known: &[(&str, &str)]) -> Result<Selection, AttackError> {
        for wanted in wishes {
            if !known.iter().any(|(id, case)| names(wanted, id, case)) {
                let mut cases: Vec<String> = known.iter().map(|(_, case)| (*case).to_owned()).collect();
                cases.sort_by_key(|case| order(case));
                cases.dedup();
                return Err(AttackError::UnknownCase { wanted: wanted.clone(), known: cases });
            }
        }
        Ok(Selection(wishes.to_vec()))
    }

    pub(crate) fn has(&self, id: &str, case: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|wanted| names(wanted, id, case))
    }
}

fn names(wanted: &str, id: &str, case: &str) -> bool {
    wanted.eq_ignore_ascii_case(id) || wanted.eq_ignore_ascii_case(case)
}

/// A2 before A10.
pub(crate) fn order(case: &str) -> (String, u32) {
    let digits = case.find(|c: char| c.is_ascii_digit()).unwrap_or(case.len());
    let (letter, number) = case.split_at(digits);
    (letter.to_owned(), number.parse().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [(&str, &str); 3] = [("A10.x", "A10"), ("A2.y", "A2"), ("A2.z", "A2")];

    fn selected(wishes: &[&str]) -> Vec<&'static str> {
        let wishes: Vec<String> = wishes.iter().map(|wish| (*wish).to_owned()).collect();
        let selection = Selection::new(&wishes, &KNOWN).unwrap();
        KNOWN.iter().filter(|(id, case)| selection.has(id, case)).map(|(id, _)| *id).collect()
    }

    #[test]
    fn numbers_and_ids_are_found_in_either_case_and_none_is_all() {
        assert_eq!(selected(&["a2"]), ["A2.y", "A2.z"]);
        assert_eq!(selected(&["A2.Z", "A10"]), ["A10.x", "A2.z"]);
        assert_eq!(selected(&[]).len(), 3);
    }

    #[test]
    fn an_unknown_case_is_told_with_the_known_ones_in_their_order() {
        let error = Selection::new(&["A1".to_owned()], &KNOWN).unwrap_err();
        let AttackError::UnknownCase { wanted, known } = error else { panic!("{error}") };
        assert_eq!((wanted.as_str(), known.join(" ").as_str()), ("A1", "A2 A10"));
    }
}
