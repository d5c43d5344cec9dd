"""``--check``: what is there of each release, what is missing and what it is for.

Nothing is written, and nothing stops the check: each release is looked at by itself.
"""

import shutil
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional

from espnet_ext.corpus import fisher, hub5, rt03, swbd
from espnet_ext.corpus.audio import inspect_audio
from espnet_ext.corpus.corpora import RELEASES, SWBD_TRANS, hub5_glm, require_folder
from espnet_ext.corpus.eval_set import EvalFiles, load_stm
from espnet_ext.corpus.evaluation_sets import read_evaluation_set
from espnet_ext.corpus.log import PreparationLog
from espnet_ext.corpus.report import compare
from espnet_ext.corpus.settings import Settings
from espnet_ext.corpus.shards import Cluster, map_shards
from espnet_ext.corpus.training_sets import counts_of
from espnet_ext.errors import EXIT_USER_ERROR, UserError

SAY = Callable[[str], None]


def check_releases(
    roots: Mapping[str, Path],
    settings: Settings = Settings(),
    cluster: Cluster = Cluster(),
    say: SAY = print,
) -> int:
    """Report on every release, given or not.

    Returns:
        0 if all that is given can be prepared, else 1.
    """
    check = _Check(dict(roots), settings, cluster, say)
    for title, keys, look in (
        ("Switchboard-1", ("swbd",), check.switchboard),
        ("hub5e_00", ("eval2000_audio", "eval2000_trans"), check.hub5e_00),
        ("hub5e_01", ("hub5e01",), check.hub5e_01),
        ("rt03s", ("rt03",), check.rt03s),
        ("Fisher text", ("fisher1", "fisher2"), check.fisher),
    ):
        check.part(title, keys, look)
    check.programs()
    if check.problems:
        say(f"{check.problems} problem(s): what is marked ! must be mended")
        return EXIT_USER_ERROR
    if not roots:
        say("no corpus is given: fill in db.sh, or give --root DIR or --swbd DIR")
        return EXIT_USER_ERROR
    say("all that is given can be prepared")
    return 0


class _Check:
    def __init__(
        self, roots: Dict[str, Path], settings: Settings, cluster: Cluster, say: SAY
    ):
        self.roots = roots
        self.settings = settings
        self.cluster = cluster
        self.say = say
        self.problems = 0

    def part(self, title: str, keys: Any, look: Callable[[], None]) -> None:
        """One set of releases; a problem is shown and counted."""
        self.say(title)
        given = [key for key in keys if key in self.roots]
        for key in keys:
            release = RELEASES[key]
            if key in self.roots:
                self.say(f"  {release.catalogue}: {self.roots[key]}")
            else:
                self.say(f"  {release.catalogue} not given ({release.purpose})")
        if not given:
            return
        try:
            for key in given:
                require_folder(key, self.roots[key])
            look()
        except UserError as error:
            self.problem(error.message())

    def problem(self, message: str) -> None:
        self.problems += 1
        first, *rest = message.splitlines()
        self.say(f"  ! {first}")
        for line in rest:
            self.say(f"  {line}")

    def switchboard(self) -> None:
        trans = self.roots.get(SWBD_TRANS)
        if trans is not None:
            require_folder(SWBD_TRANS, trans)
        files = swbd.find_switchboard(self.roots["swbd"], trans)
        self.say(f"  transcripts of {len(files.transcripts):,} sides")
        for what, path in (
            ("pronunciations (acronyms are told by them)", files.dictionary),
            ("callers (speakers are told by them)", files.conversations),
        ):
            self.say(f"  {what}: {path or 'not found'}")
        infos = self.audio(files.audio)
        if infos is None:
            return
        log = PreparationLog()
        profile = self.settings.text_profile()
        utterances = swbd.switchboard_utterances(
            files, infos, profile, log, self.cluster
        )
        self.say(f"  {len(utterances):,} utterances")
        self.counts(counts_of(files, utterances, self.settings))
        for line in [*log.summary(), *log.warnings]:
            self.say(f"  {line}")

    def hub5e_00(self) -> None:
        if not {"eval2000_audio", "eval2000_trans"}.issubset(self.roots):
            self.say("  audio and transcripts are needed: the set is left out")
            return
        self.evaluation_set(
            hub5.find_hub5e_00(
                self.roots["eval2000_audio"], self.roots["eval2000_trans"]
            )
        )

    def hub5e_01(self) -> None:
        glm = hub5_glm(self.roots)
        self.evaluation_set(hub5.find_hub5e_01(self.roots["hub5e01"], glm))

    def rt03s(self) -> None:
        self.evaluation_set(rt03.find_rt03(self.roots["rt03"]))

    def evaluation_set(self, files: EvalFiles) -> None:
        """References, mapping file, audio, and whether they fit together."""
        stm = load_stm(files)
        self.say(f"  references: {len(stm.segments):,} lines in {files.stms[0]}")
        self.say(f"  GLM: {files.glm or 'not found; scoring with sclite needs one'}")
        infos = self.audio(files.audio)
        if infos is None:
            return
        log = PreparationLog()
        _, utterances = read_evaluation_set(files, infos, self.settings, log)
        self.counts({f"{files.name} segments": len(utterances)})
        for line in [*log.summary(), *log.warnings]:
            self.say(f"  {line}")

    def fisher(self) -> None:
        parts = [self.roots[k] for k in ("fisher1", "fisher2") if k in self.roots]
        found = fisher.find_transcripts(parts)
        self.say(f"  {len(found):,} transcripts")

    def audio(self, files: Mapping[str, Path]) -> Optional[Dict[Path, Any]]:
        """Headers of all files; None if one cannot be used."""
        paths = sorted(set(files.values()))
        parts = map_shards(inspect_audio, paths, self.cluster, "audio headers")
        seen = [inspection for part in parts for inspection in part]
        self.say(f"  audio: {_kinds(paths)}")
        compressed = [inspection for inspection in seen if inspection.is_compressed]
        if compressed and shutil.which("sph2pipe") is None:
            self.problem(
                f"{len(compressed)} file(s) are shorten-compressed and sph2pipe is not "
                "on PATH"
            )
            for inspection in compressed:
                self.say(f"    {inspection.path}")
            return None
        broken = [inspection for inspection in seen if inspection.problem]
        for inspection in broken:
            self.problem(inspection.problem)
        rates = {i.info.rate for i in seen if i.info} - {self.settings.rate_hz}
        if rates:
            self.problem(f"rate {min(rates)} Hz; expected {self.settings.rate_hz} Hz")
        if broken:
            return None
        return {path: i.info for path, i in zip(paths, seen)}

    def counts(self, found: Dict[str, float]) -> None:
        """Compare with the release; a difference is no problem, but shown."""
        lines, warnings = compare(found)
        for line in lines + [f"warning: {warning}" for warning in warnings]:
            self.say(f"  {line}")

    def programs(self) -> None:
        """What is called if it is there; scoring programs: ``espnet-ext doctor``."""
        found = shutil.which("sph2pipe") or "not found"
        self.say("programs")
        self.say(f"  sph2pipe: {found} (only for shorten-compressed SPHERE)")


def _kinds(paths: List[Path]) -> str:
    kinds: Dict[str, int] = {}
    for path in paths:
        kind = path.suffix.lower()[1:]
        kinds[kind] = kinds.get(kind, 0) + 1
    return ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items()))
