"""`DiffusersGenerator`: any text-to-video pipeline of diffusers, by folder or hub id, as a `Generator`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal, final

from rapo_lightning.errors import ConfigError, RapoError, VideoError, WeightsError
from rapo_lightning.generators.families import Family, named_family
from rapo_lightning.generators.pipelines import call_arguments, find_family, find_pipeline, load_pipeline, one_line
from rapo_lightning.types import Failure, ModelReference, Video
from rapo_lightning.video import write_video

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

__all__ = ["DiffusersGenerator"]


@final
class DiffusersGenerator:
    """Renders prompts with a diffusers pipeline.

    What is None comes from the model's family (`families.FAMILIES`, told by the class name in ``model_index.json``), else from
    the pipeline's own defaults. Each video's noise is drawn on the CPU from its own seed, so it depends neither on the device
    nor on the batch; ``batch_size`` is the number of videos in one call of the pipeline, halved for good when memory runs out.
    The next videos are rendered while the last are encoded.

    Args:
        model: a diffusers folder or a hub id, ``@revision`` allowed. Safetensors only; no code of the model's is run.
        family: a name of `families.FAMILIES`, for a pipeline class that is in none.
        height, width: pixels. num_frames: frames a video. fps: frames a second written into the file.
        num_inference_steps, guidance_scale, negative_prompt, max_sequence_length: as the pipeline understands them.
        flow_shift: replaces the shift of the folder's flow scheduler (Wan: 3.0 at 480p, 5.0 at 720p).
        dtype: ``auto`` is the family's precision on an accelerator (Wan: bfloat16, VAE float32) and float32 on the CPU.
        offload: keep weights in main memory and bring ``model`` by model, or layer by layer (``sequential``), to the
            accelerator; without effect on the CPU.
        attention_backend: a backend of diffusers for the denoiser, e.g. ``_native_cudnn``.
        vae_tiling: decode in tiles: less memory, slightly different pixels.
        compile: compile the denoiser's repeated blocks.
        extra: further arguments of the pipeline's call.
    """

    def __init__(
        self,
        model: ModelReference,
        *,
        family: str | None = None,
        height: int | None = None,
        width: int | None = None,
        num_frames: int | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        negative_prompt: str | None = None,
        max_sequence_length: int | None = None,
        flow_shift: float | None = None,
        fps: float | None = None,
        batch_size: int = 1,
        dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
        offload: Literal["none", "model", "sequential"] = "none",
        attention_backend: str | None = None,
        vae_tiling: bool = False,
        compile: bool = False,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        if batch_size < 1:
            raise ConfigError(f"batch_size {batch_size}: must be at least 1")
        if family is not None:
            named_family(family)
        self.model = model
        self.family = family
        self.height = height
        self.width = width
        self.num_frames = num_frames
        self.num_inference_steps = num_inference_steps
        self.guidance_scale = guidance_scale
        self.negative_prompt = negative_prompt
        self.max_sequence_length = max_sequence_length
        self.flow_shift = flow_shift
        self.fps = fps
        self.batch_size = batch_size
        self.dtype = dtype
        self.offload = offload
        self.attention_backend = attention_backend
        self.vae_tiling = vae_tiling
        self.compile = compile
        self.extra = dict(extra or {})
        self._device: torch.device | str = "cpu"
        self._batch = batch_size
        self._pipeline: Any = None
        self._settings = Family()
        self._call: dict[str, Any] = {}
        self._negative: torch.Tensor | None = None
        self._tokenizer: Any = None

    def generate(self, texts: Sequence[str], seeds: Sequence[int], paths: Sequence[str]) -> list[Video | Failure]:
        """Render ``texts[i]`` from ``seeds[i]`` into an mp4 at ``paths[i]``; see `protocols.Generator`.

        Raises:
            WeightsError: the model is missing, incomplete, not in safetensors, or asks to run code.
            ConfigError: the pipeline lacks an argument, or cannot render this size or number of frames.
        """
        jobs = list(zip(texts, seeds, paths, strict=True))
        if not jobs:
            return []
        self._load()
        waiting: list[Failure | Future[Video | Failure]] = []
        with ThreadPoolExecutor(max_workers=1) as writer:
            while len(waiting) < len(jobs):
                chunk = jobs[len(waiting) : len(waiting) + self._batch]
                rendered = self._render([text for text, _, _ in chunk], [seed for _, seed, _ in chunk])
                for (_, seed, path), frames in zip(chunk, rendered, strict=True):
                    waiting.append(frames if isinstance(frames, Failure) else writer.submit(self._write, path, seed, frames))
        return [item if isinstance(item, Failure) else item.result() for item in waiting]

    def tokens_over_limit(self, texts: Sequence[str]) -> list[int]:
        """For each text the number of tokens that the text encoder would cut off. Loads the tokenizer alone."""
        if not texts:
            return []
        if self._tokenizer is None:
            from transformers import AutoTokenizer

            name, revision = find_pipeline(self.model)
            try:
                self._tokenizer = AutoTokenizer.from_pretrained(name, subfolder="tokenizer", revision=revision or "main")
            except (OSError, ValueError) as error:
                raise WeightsError(f"{self.model}: its tokenizer cannot be loaded: {one_line(error)}") from error
            self._settings = find_family(self.model, self.family)
        limit = self.max_sequence_length or self._settings.tokens or self._tokenizer.model_max_length
        return [max(0, len(tokens) - limit) for tokens in self._tokenizer(list(texts), verbose=False).input_ids]

    def to(self, device: torch.device | str) -> DiffusersGenerator:
        """Render on ``device`` from now on; a loaded pipeline moves there in the precision that it has."""
        self._device = device
        self._negative = None
        if self._pipeline is not None:
            self._place(self._pipeline)
        return self

    def _load(self) -> None:
        if self._pipeline is not None:
            return
        import torch

        # 1. Load.
        family = find_family(self.model, self.family)
        pipeline = load_pipeline(self.model, family, self.dtype, torch.device(self._device))
        # 2. Check everything that was asked for.
        size, sampling = ("height", "width", "num_frames", "fps"), ("num_inference_steps", "guidance_scale")
        asked = (*size, *sampling, "negative_prompt", "max_sequence_length")
        call = call_arguments(pipeline, family, {key: getattr(self, key) for key in asked}, self.extra)
        # 3. Set up.
        if self.flow_shift is not None:
            config = pipeline.scheduler.config
            key = next((key for key in ("flow_shift", "shift") if key in config), None)
            if key is None:
                raise ConfigError(f"flow_shift: {type(pipeline.scheduler).__name__} is no flow scheduler")
            pipeline.scheduler = type(pipeline.scheduler).from_config(config, **{key: self.flow_shift})
        if self.vae_tiling:
            pipeline.vae.enable_tiling()
        for denoiser in (pipeline.components.get(key) for key in ("transformer", "transformer_2", "unet")):
            if denoiser is not None and self.attention_backend is not None:
                denoiser.set_attention_backend(self.attention_backend)
            if denoiser is not None and self.compile:
                denoiser.compile_repeated_blocks()
        # 4. Place.
        self._place(pipeline)
        self._pipeline, self._settings, self._call = pipeline, family, call

    def _place(self, pipeline: Any) -> None:
        import torch

        device = torch.device(self._device)
        if self.offload == "none" or device.type == "cpu":
            pipeline.to(device)
        elif self.offload == "model":
            pipeline.enable_model_cpu_offload(device=device)
        else:
            pipeline.enable_sequential_cpu_offload(device=device)

    def _render(self, texts: list[str], seeds: list[int]) -> list[NDArray[np.uint8] | Failure]:
        """Frames (T, H, W, 3) uint8 a text. A batch that fails is halved until what fails is one item."""
        import torch

        try:
            return self._sample(texts, seeds)
        except torch.OutOfMemoryError as error:
            self._batch = max(1, len(texts) // 2)
            problem = one_line(error)
        except (RapoError, torch.AcceleratorError):
            raise
        except Exception as error:  # whatever else a pipeline raises concerns these texts, not the run
            problem = one_line(error)
        # Here the failed call's tensors are gone, as no exception holds on to them.
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if len(texts) == 1:
            return [Failure(error=problem)]
        half = len(texts) // 2
        return self._render(texts[:half], seeds[:half]) + self._render(texts[half:], seeds[half:])

    def _sample(self, texts: list[str], seeds: list[int]) -> list[NDArray[np.uint8] | Failure]:
        import torch

        call = dict(self._call)
        if "negative_prompt" in call:
            call["negative_prompt"] = [call["negative_prompt"]] * len(texts)
        if self._settings.encodes_negative and call.get("guidance_scale", 0.0) > 1.0:
            if self._negative is None:
                with torch.no_grad():
                    self._negative, _ = self._pipeline.encode_prompt(
                        prompt=call.get("negative_prompt", [""])[:1],
                        do_classifier_free_guidance=False,
                        max_sequence_length=call.get("max_sequence_length", self._settings.tokens),
                    )
            call["negative_prompt"] = None
            call["negative_prompt_embeds"] = self._negative.repeat(len(texts), 1, 1)
        noise = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        output = self._pipeline(prompt=texts, generator=noise, output_type="pt", **call)
        if not hasattr(output, "frames"):
            raise ConfigError(f"{type(self._pipeline).__name__} renders no videos")
        return [self._quantised(frames_TCHW) for frames_TCHW in output.frames]

    def _quantised(self, frames_TCHW: torch.Tensor) -> NDArray[np.uint8] | Failure:
        """Frames in [0, 1] to uint8 (T, H, W, 3), rounded to nearest; on the device, a quarter of the bytes to move."""
        import torch

        if not torch.isfinite(frames_TCHW).all():
            return Failure(error="the pipeline gave frames that are not finite (NaN); float32 or another VAE precision may help")
        frames, _, height, width = frames_TCHW.shape
        asked = [self._call.get(self._settings.rename.get(key, key)) for key in ("num_frames", "height", "width")]
        if any(want not in (None, have) for want, have in zip(asked, (frames, height, width), strict=True)):
            raise ConfigError(f"num_frames, height, width {asked}: the pipeline rendered {[frames, height, width]} instead")
        frames_THWC = (frames_TCHW.float().clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
        quantised: NDArray[np.uint8] = frames_THWC.contiguous().cpu().numpy()
        return quantised

    def _write(self, path: str, seed: int, frames_THWC: NDArray[np.uint8]) -> Video | Failure:
        fps = self.fps or self._settings.fps
        try:
            write_video(path, frames_THWC, fps)
        except VideoError as error:
            return Failure(error=str(error))
        frames, height, width, _ = frames_THWC.shape
        # An odd side is written with one more row or column (see `write_video`).
        return Video(path=path, seed=seed, frames=frames, fps=fps, height=height + height % 2, width=width + width % 2)
