//! Functions whose parameters are dependencies.

use std::{future::Future, sync::Arc};

use crate::{Dependency, Error, Given, Need, given::parameter};

/// A function that makes `T` of up to eight dependencies.
pub trait Factory<Arguments, T>: Send + Sync + 'static {
    /// What its parameters ask for.
    fn needs() -> Vec<Need>;

    /// Calls it.
    ///
    /// # Errors
    /// [`Error::NeedNotDeclared`] if what is given is not what it needs.
    fn call(&self, given: &Given) -> Result<T, Error>;
}

/// An async function that makes `T` of up to eight dependencies, or fails with `E`.
pub trait AsyncFactory<Arguments, T, E>: Send + Sync + 'static {
    /// What its parameters ask for.
    fn needs() -> Vec<Need>;

    /// Calls it.
    ///
    /// # Errors
    /// [`Error::NeedNotDeclared`] if what is given is not what it needs.
    fn call(
        self: Arc<Self>,
        given: &Given,
    ) -> Result<impl Future<Output = Result<T, E>> + Send + 'static, Error>;
}

macro_rules! factories {
    ($($argument:ident $position:literal),*) => {
        impl<F, T, $($argument),*> Factory<($($argument,)*), T> for F
        where
            F: Fn($($argument),*) -> T + Send + Sync + 'static,
            $($argument: Dependency,)*
        {
            fn needs() -> Vec<Need> {
                vec![$(Need::of::<$argument>(parameter($position))),*]
            }

            #[allow(unused_variables, reason = "a function without parameters takes nothing of it")]
            fn call(&self, given: &Given) -> Result<T, Error> {
                Ok(self($(given.position::<$argument>($position)?),*))
            }
        }

        impl<F, Fut, T, E, $($argument),*> AsyncFactory<($($argument,)*), T, E> for F
        where
            F: Fn($($argument),*) -> Fut + Send + Sync + 'static,
            Fut: Future<Output = Result<T, E>> + Send + 'static,
            $($argument: Dependency,)*
        {
            fn needs() -> Vec<Need> {
                vec![$(Need::of::<$argument>(parameter($position))),*]
            }

            #[allow(unused_variables, reason = "a function without parameters takes nothing of it")]
            fn call(
                self: Arc<Self>,
                given: &Given,
            ) -> Result<impl Future<Output = Result<T, E>> + Send + 'static, Error> {
                Ok(self($(given.position::<$argument>($position)?),*))
            }
        }
    };
}

factories!();
factories!(A 0);
factories!(A 0, B 1);
factories!(A 0, B 1, C 2);
factories!(A 0, B 1, C 2, D 3);
factories!(A 0, B 1, C 2, D 3, G 4);
factories!(A 0, B 1, C 2, D 3, G 4, H 5);
factories!(A 0, B 1, C 2, D 3, G 4, H 5, I 6);
factories!(A 0, B 1, C 2, D 3, G 4, H 5, I 6, J 7);
