import subprocess

from espnet_ext.analysis.provenance import (
    environment,
    file_hash,
    git_hash,
    package_version,
)


def test_a_commit_with_changes_is_marked(tmp_path):
    def git(*arguments):
        command = ["git", "-c", "user.name=x", "-c", "user.email=x@y", *arguments]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)

    assert git_hash(tmp_path) == "unknown"
    git("init")
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "-m", "a")
    clean = git_hash(tmp_path)
    assert len(clean) == 12
    (tmp_path / "a").write_text("2")
    assert git_hash(tmp_path) == f"{clean}-dirty"


def test_a_hash_follows_the_content(tmp_path):
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").write_text("1")
    assert file_hash(tmp_path / "a") == file_hash(tmp_path / "b") != ""
    (tmp_path / "b").write_text("2")
    assert file_hash(tmp_path / "a") != file_hash(tmp_path / "b")
    assert file_hash(tmp_path / "none") == ""


def test_the_environment_names_versions_without_importing_them(tmp_path):
    facts = environment(tmp_path / "none")
    assert list(facts)[:4] == [
        "date", "python version", "espnet version", "pytorch version"
    ]  # fmt: skip
    assert package_version("no-such-package") == "not installed"
