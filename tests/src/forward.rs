//! What a store that stands before another one in a test leaves to that.

/// Methods of a `LogStore` or a `StoredLog` that the one in this field does as they are.
macro_rules! forward {
    ($inner:tt: $($method:ident),+) => {
        $(forward!(@ $method $inner);)+
    };
    (@ create $inner:tt) => {
        fn create<'a>(
            &'a self,
            name: &'a ::streamnest_core::LogName,
            attributes: &'a [::streamnest_core::AttributeChange],
            watch: ::std::sync::Arc<dyn ::streamnest_core::DurabilityWatch>,
        ) -> forward!(@@ 'a ::std::sync::Arc<dyn ::streamnest_core::StoredLog>) {
            self.$inner.create(name, attributes, watch)
        }
    };
    (@ open $inner:tt) => {
        fn open<'a>(
            &'a self,
            name: &'a ::streamnest_core::LogName,
            watch: ::std::sync::Arc<dyn ::streamnest_core::DurabilityWatch>,
        ) -> forward!(@@ 'a ::std::sync::Arc<dyn ::streamnest_core::StoredLog>) {
            self.$inner.open(name, watch)
        }
    };
    (@ delete $inner:tt) => {
        fn delete<'a>(&'a self, name: &'a ::streamnest_core::LogName) -> forward!(@@ 'a ()) {
            self.$inner.delete(name)
        }
    };
    (@ list $inner:tt) => {
        fn list<'a>(
            &'a self,
            prefix: &'a str,
            after: Option<&'a ::streamnest_core::LogName>,
            limit: usize,
        ) -> forward!(@@ 'a Vec<::streamnest_core::Listed>) {
            self.$inner.list(prefix, after, limit)
        }
    };
    (@ head $inner:tt) => {
        fn head(&self) -> ::streamnest_core::StoredHead {
            self.$inner.head()
        }
    };
    (@ seal $inner:tt) => {
        fn seal(
            &self,
            term: ::streamnest_core::Term,
            expected_last: ::streamnest_core::Seq,
        ) -> Result<::streamnest_core::Appended, ::streamnest_core::StoreError> {
            self.$inner.seal(term, expected_last)
        }
    };
    (@ read $inner:tt) => {
        fn read(
            &self,
            from: ::streamnest_core::Seq,
            max_entries: usize,
            max_bytes: usize,
        ) -> forward!(@@ '_ Vec<::std::sync::Arc<::streamnest_core::Entry>>) {
            self.$inner.read(from, max_entries, max_bytes)
        }
    };
    (@ trim $inner:tt) => {
        fn trim(
            &self,
            term: ::streamnest_core::Term,
            up_to: ::streamnest_core::Seq,
        ) -> Result<(), ::streamnest_core::StoreError> {
            self.$inner.trim(term, up_to)
        }
    };
    // What a method gives that may wait.
    (@@ $life:lifetime $given:ty) => {
        ::streamnest_core::BoxFuture<$life, Result<$given, ::streamnest_core::StoreError>>
    };
}
