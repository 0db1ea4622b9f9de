//! A network's weights by name: to keep them in a file, to carry them over.

use std::collections::{BTreeMap, HashMap};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{Tensor, TensorData};

/// Why weights do not fit a network.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum WeightsError {
    /// A weight is missing.
    #[error("the weight `{0}` is missing")]
    Missing(String),
    /// A weight has another shape.
    #[error("the weight `{name}` has shape {found:?} where the network needs {needed:?}")]
    Shape {
        /// Its name.
        name: String,
        /// The shape in the file.
        found: Vec<usize>,
        /// The shape in the network.
        needed: Vec<usize>,
    },
    /// There are weights that the network has no place for.
    #[error("the weight `{0}` has no place in the network")]
    Unknown(String),
}

/// Shape and row-major values of one weight.
pub type Weight = (Vec<usize>, Vec<f32>);

/// Where a walk over a module is. The kind of network is no part of a weight's path: the description of a model says it.
#[derive(Default)]
struct WeightPath(Vec<String>);

impl WeightPath {
    fn enter(&mut self, name: &str, container: &str) {
        if is_named(container) {
            self.0.push(name.to_owned());
        }
    }

    fn leave(&mut self, container: &str) {
        if is_named(container) {
            self.0.pop();
        }
    }

    fn name(&self) -> String {
        self.0.join(".")
    }
}

/// Whether a container's names are part of a weight's path.
pub(super) fn is_named(container: &str) -> bool {
    !container.starts_with("Enum:")
}

/// The weights of a module by their path, such as `encoder.1.0.conv1.weight`.
pub fn named_weights<M: Module>(module: &M) -> BTreeMap<String, Weight> {
    struct Collect {
        path: WeightPath,
        weights: BTreeMap<String, Weight>,
    }
    impl ModuleVisitor for Collect {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.path.enter(name, container);
        }
        fn exit_module(&mut self, _name: &str, container: &str) {
            self.path.leave(container);
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let data = param.val().into_data();
            let shape = data.shape().to_vec();
            self.weights.insert(self.path.name(), (shape, data.iter::<f32>().collect()));
        }
    }
    let mut collect = Collect { path: WeightPath::default(), weights: BTreeMap::new() };
    module.visit(&mut collect);
    collect.weights
}

/// The path of each weight of a module by its identity, as [`named_weights`] names them.
pub(crate) fn weight_names<M: Module>(module: &M) -> HashMap<ParamId, String> {
    struct Names {
        path: WeightPath,
        names: HashMap<ParamId, String>,
    }
    impl ModuleVisitor for Names {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.path.enter(name, container);
        }
        fn exit_module(&mut self, _name: &str, container: &str) {
            self.path.leave(container);
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.names.insert(param.id, self.path.name());
        }
    }
    let mut names = Names { path: WeightPath::default(), names: HashMap::new() };
    module.visit(&mut names);
    names.names
}

/// Replaces the weights of a module by those named in `weights`.
///
/// # Errors
/// When a weight is missing, has another shape, or has no place in the module.
pub fn load_weights<M: Module>(module: M, mut weights: BTreeMap<String, Weight>) -> Result<M, WeightsError> {
    struct Load<'a> {
        path: WeightPath,
        weights: &'a mut BTreeMap<String, Weight>,
        error: Option<WeightsError>,
    }
    impl ModuleMapper for Load<'_> {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.path.enter(name, container);
        }
        fn exit_module(&mut self, _name: &str, container: &str) {
            self.path.leave(container);
        }
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let name = self.path.name();
            let needed = param.lazy_shape().to_vec();
            match self.weights.remove(&name) {
                None => {
                    self.error.get_or_insert(WeightsError::Missing(name));
                    param
                }
                Some((found, _)) if found != needed => {
                    self.error.get_or_insert(WeightsError::Shape { name, found, needed });
                    param
                }
                Some((shape, values)) => param.map(|old| {
                    let keep = old.is_require_grad();
                    let new = Tensor::from_data(TensorData::new(values, shape), &old.device());
                    if keep { new.require_grad() } else { new }
                }),
            }
        }
    }
    let mut load = Load { path: WeightPath::default(), weights: &mut weights, error: None };
    let module = module.map(&mut load);
    match (load.error, weights.into_keys().next()) {
        (Some(error), _) => Err(error),
        (None, Some(name)) => Err(WeightsError::Unknown(name)),
        (None, None) => Ok(module),
    }
}
