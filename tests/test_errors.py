"""The tree of errors: exit codes, what each also is, and names that are nearly right."""

from striate import errors
from striate.errors import BadFilesError, StriateError, unknown

EXIT_CODES = {
    "StriateError": 2,
    "ArgumentError": 2,
    "ShapeError": 2,
    "DataError": 2,
    "BadFilesError": 2,
    "CheckpointError": 2,
    "ExportError": 2,
    "RunError": 1,
    "DivergedError": 1,
    "StorageError": 1,
    "LostProcessError": 1,
    "InterruptedRunError": 130,
}


def test_every_error_is_a_striate_error_with_its_exit_code():
    tree = {
        name: each
        for name, each in vars(errors).items()
        if isinstance(each, type) and each.__module__ == errors.__name__
    }
    assert all(issubclass(each, StriateError) for each in tree.values())
    assert {name: each.exit_code for name, each in tree.items()} == EXIT_CODES


def test_a_wrong_argument_is_a_value_error_and_a_wrong_shape_is_a_wrong_argument():
    assert issubclass(errors.ArgumentError, ValueError)
    assert issubclass(errors.ShapeError, errors.ArgumentError)
    assert not issubclass(errors.DataError, ValueError)


def test_one_bad_file_is_one_line():
    error = BadFilesError({"a.png": "truncated"})
    assert error.problems == {"a.png": "truncated"}
    assert str(error) == "a.png: truncated: repair or remove it, or leave it out with --skip-bad."
    assert str(BadFilesError({"a.png": "truncated"}, skippable=False)) == "a.png: truncated: repair or remove it."


def test_bad_files_names_every_file_with_its_reason():
    problems = {"a.png": "truncated", "b.png": "empty"}
    error = BadFilesError(problems)
    assert error.problems == problems
    assert str(error) == (
        "2 files can't be used; repair or remove them, or leave them out with --skip-bad:\n"
        "  a.png: truncated\n  b.png: empty"
    )
    assert "--skip-bad" not in str(BadFilesError(problems, skippable=False))


def test_an_unknown_name_gets_the_nearest_and_all_there_are():
    assert str(unknown("model", "lenet", ["mlp", "lenet5"])) == (
        "unknown model 'lenet'. Did you mean 'lenet5'? Known: lenet5, mlp."
    )
    assert str(unknown("model", "zzz", ["mlp", "lenet5"])) == "unknown model 'zzz'. Known: lenet5, mlp."


def test_what_an_argument_error_quotes_stays_on_one_line():
    assert str(unknown("recipe", "mo\ndern", ["modern"])).splitlines() == [
        "unknown recipe 'mo\\ndern'. Did you mean 'modern'? Known: modern."
    ]
