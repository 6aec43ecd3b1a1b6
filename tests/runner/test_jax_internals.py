"""The private names of JAX that ardm uses are there, and do what they are used for."""

import inspect

import jax

WHAT_TO_DO = (
    f"JAX {jax.__version__} is not as it was read. See what took the place of it, change "
    "`ardm/runner/_jax.py`, and run `tests/runner/test_compilation.py` and those marked `cluster`."
)


def test_the_private_names_are_where_they_were_read() -> None:
    try:
        from ardm.runner import _jax  # private: what is tested here
    except ImportError as error:
        raise AssertionError(f"{error}. {WHAT_TO_DO}") from error
    cache, group = _jax.compilation_cache, _jax.distributed.global_state
    for owner, name in (
        (cache, "_cache"),
        (cache, "reset_cache"),
        (cache, "get_file_cache"),
        (group, "process_id"),
        (_jax.xla_bridge._jax, "make_gloo_tcp_collectives"),  # private: the same
    ):
        assert hasattr(owner, name), f"{owner} has no {name}. {WHAT_TO_DO}"
    assert {"get", "put"} <= {name for name, _ in inspect.getmembers(_jax.CacheInterface)}
