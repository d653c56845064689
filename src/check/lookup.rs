/// A map that is complete before it is asked for the first time: a list, sorted once. Of several values of one key the
/// last counts.
#[derive(Debug)]
pub(super) struct Lookup<K, V>(Vec<(K, V)>);

impl<K: Ord, V> Lookup<K, V> {
    pub(super) fn get(&self, key: &K) -> Option<&V> {
        let end = self.0.partition_point(|(known, _)| known <= key);
        self.0[..end].last().filter(|(known, _)| known == key).map(|(_, value)| value)
    }
}

impl<K, V> Default for Lookup<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for Lookup<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut entries: Vec<(K, V)> = entries.into_iter().collect();
        entries.sort_by(|(one, _), (other, _)| one.cmp(other));
        Self(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_a_key_counts() {
        let lookup: Lookup<u8, &str> = [(3, "c"), (1, "a"), (3, "d")].into_iter().collect();
        let found: Vec<Option<&&str>> = (0..5).map(|key| lookup.get(&key)).collect();
        assert_eq!(found, [None, Some(&"a"), None, Some(&"d"), None]);
    }
}
