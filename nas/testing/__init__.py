"""Fakes and contract suites, for our own tests and for components that users write themselves.

- `fakes`: estimators and a device that answer at once, or fail in a certain way.
- `samplers`, `estimators`, `runtimes`, `executors`: one class each, whose tests every such
  component must pass. To test your own with pytest, subclass the class and create the component::

      from nas.testing.samplers import SamplerContract

      class TestMySampler(SamplerContract):
          def sampler(self, problem):
              return MySampler(problem.domain, problem.seed)
"""
