# The verbs of the project; each sets up what it needs. `make help` lists them.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
PORT ?= 3000
# `make layers` builds for both processors unless one is named; a deployment is for one.
LAYERS_FOR := $(or $(ARCHITECTURE),both)
ARCHITECTURE ?= x86_64
BIN := .venv/bin
TEACHERS := mobilenet_v2_1.0_224_quant yolox_nano deeplabv3_mnv2_pascal_quant
# The AWS CLI reads AWS_REGION, SAM and boto3 do not.
ifdef AWS_REGION
ifndef AWS_DEFAULT_REGION
export AWS_DEFAULT_REGION := $(AWS_REGION)
endif
endif
CODE := layers/core/vision functions scripts client tests
LAMBDA_PYTHON_VERSION = $(shell sed -n 's/^ *Runtime: python//p' template.yaml)
SAM_BUILD = ARCHITECTURE=$(ARCHITECTURE) PYTHON='$(CURDIR)/.venv-sam/bin/python' .venv-sam/bin/sam build --parameter-overrides Architecture=$(ARCHITECTURE)

help:  ## list the verbs
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-8s %s\n", $$1, $$2}'

# A task without a model gets its default one, but in another folder of models; where none can be had, the starter answers.
run: .venv/.local  ## serve on http://127.0.0.1:3000 (PORT= changes it); PARAMETERS="Auth=API_KEY" asks for keys
	@$(if $(strip $(VISION_MODELS)),,$(BIN)/python scripts/fetch_models.py --if-none || test $$? != 130)
	@$(BIN)/python scripts/samples.py || true
	@PORT=$(PORT) $(BIN)/python scripts/serve.py $(if $(PARAMETERS),--parameter-overrides $(PARAMETERS))

# What is named in TESTS runs whole. Slow are the tests that build layers, run AWS's runtime, checkov and SAM, walk over
# every mutation of the template, or convert models: they need three environments more.
test: .venv/.test $(if $(SLOW)$(TESTS),.venv-sam/.done .venv-policy/.done)  ## lint, type-check and test; SLOW=1 runs the slow tests too, and those of the converters
	@$(if $(SLOW)$(strip $(VISION_MODEL_MIRROR)),$(BIN)/python scripts/fetch_models.py $(if $(SLOW),--all),false) || echo "The tests that need the pretrained models will be skipped."
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy
	SAM=$(CURDIR)/.venv-sam/bin/sam $(BIN)/python -m pytest --numprocesses auto --dist loadfile $(if $(SLOW)$(TESTS),,-m "not slow") $(TESTS)
	@test -n "$(TESTS)" -o -z "$(SLOW)" || $(MAKE) --no-print-directory test-conversion

# In an environment of their own, for they import Keras, PyTorch and transformers.
test-conversion: .venv/.base
	PYTHONPATH=scripts $(BIN)/python -m conversion.environment convert convert-tensorflow convert-keras-2 convert-transformers train convert-test
	.venv-convert/bin/python -m pytest --confcutdir=tests/conversion tests/conversion

models: .venv/.local  ## fetch the default models; NAMES="SqueezeNet_fp16 ..." fetches others, NAMES=--list lists them
	@$(BIN)/python scripts/fetch_models.py $(NAMES)

convert: .venv/.base  ## make a model folder of a Keras, PyTorch, Hugging Face, TFLite or ONNX model: SOURCE=keras:vgg16
	@test -n "$(SOURCE)" || { echo "Name a source: make convert SOURCE=keras:vgg16 OPTIONS=\"--weights FILE\"" >&2; exit 1; }
	@$(BIN)/python scripts/convert.py "$(SOURCE)" $(OPTIONS)

evaluate: .venv/.evaluate  ## measure a model on labelled photos: MODEL=<id> DATA=<folder> OPTIONS="--per-class"
	@test -n "$(MODEL)" -a -n "$(DATA)" || { echo "Name a model and a folder: make evaluate MODEL=<id> DATA=<folder>" >&2; exit 1; }
	@$(BIN)/python scripts/evaluate.py "$(MODEL)" "$(DATA)" $(OPTIONS)

quantize: .venv/.quantize  ## make a model smaller: MODEL=<id> PHOTOS=<folder to calibrate on> DATA=<labelled photos>
	@test -n "$(MODEL)" -a -n "$(PHOTOS)" || { echo "Name a model and photos: make quantize MODEL=<id> PHOTOS=<folder>" >&2; exit 1; }
	@$(BIN)/python scripts/quantize.py "$(MODEL)" --calibrate "$(PHOTOS)" $(if $(DATA),--evaluate "$(DATA)") $(OPTIONS)

starter: .venv/.local  ## train the starter models anew, in about two hours: DATA=<Caltech-101, folder or zip>
	@test -n "$(DATA)" || { echo "Name the photos: make starter DATA=path/to/caltech101 (models/README.md, Starter models)" >&2; exit 1; }
	@$(BIN)/python scripts/fetch_models.py $(TEACHERS)
	@PYTHONPATH=scripts $(BIN)/python -m conversion.environment convert train
	@for task in classification segmentation detection; do \
		PYTHONPATH=scripts:layers/core .venv-convert/bin/python -m train.$$task "$(DATA)" $(OPTIONS) || exit 1; \
	done

pictures: .venv/.test  ## make the pictures of the README anew, from the running service; the page takes a Chromium
	@$(BIN)/python scripts/pictures.py $(OPTIONS)

samples: .venv/.base  ## put four photos to try the service on into samples/
	@$(BIN)/python scripts/samples.py

bench: .venv/.local  ## time the handler against the bare work; PHOTO=file.jpg times that photo
	@$(BIN)/python scripts/fetch_models.py --if-none || true
	@$(BIN)/python scripts/bench.py $(PHOTO)

bench-cold: .venv/.local  ## time cold starts under AWS's own runtime, from the built layers
	@$(BIN)/python scripts/samples.py
	@$(MAKE) --no-print-directory layers ARCHITECTURE=$(if $(filter arm64 aarch64,$(shell uname -m)),arm64,x86_64) >/dev/null
	@$(BIN)/python scripts/bench_cold.py $(PHOTO) $(OPTIONS)

layers: .venv/.local  ## build the Lambda layers into .layers/ and print their sizes; ARCHITECTURE=x86_64 or arm64 for one
	@$(BIN)/python scripts/build_layers.py --architecture $(LAYERS_FOR)

lock: .venv/.lock  ## pin anew the packages of the runtime layer and the portal, from their requirements.txt
	@cd layers/runtime && UV_CUSTOM_COMPILE_COMMAND="make lock" ../../$(BIN)/uv pip compile --quiet --upgrade \
		--generate-hashes --no-annotate --python-platform linux --python-version $(LAMBDA_PYTHON_VERSION) \
		--output-file requirements.lock requirements.txt
	@cd functions/portal && UV_CUSTOM_COMPILE_COMMAND="make lock" ../../$(BIN)/uv pip compile --quiet --upgrade \
		--generate-hashes --no-annotate --no-deps --python-platform linux --python-version $(LAMBDA_PYTHON_VERSION) \
		--output-file requirements.lock requirements.txt

build: .venv/.local .venv-sam/.done  ## build what `make deploy` uploads, into .aws-sam/
	@$(BIN)/python scripts/fetch_models.py || { echo "To package what lies in models/ instead: $(SAM_BUILD)" >&2; exit 1; }
	$(SAM_BUILD)

deploy: region build  ## put the service into your AWS account: PARAMETERS="AlarmEmail=you@example.org" sets parameters
	.venv-sam/bin/sam deploy --parameter-overrides Architecture=$(ARCHITECTURE) $(PARAMETERS)

region:
	@test -n "$$AWS_DEFAULT_REGION$$AWS_PROFILE" || grep -qs '^ *region' "$${AWS_CONFIG_FILE:-$$HOME/.aws/config}" samconfig.toml || \
		{ echo "No region is set: name it in AWS_DEFAULT_REGION, or with 'aws configure'." >&2; exit 1; }

keys: .venv/.local  ## list the keys of callers; ADD=mobile makes one, REVOKE=mobile or REVOKE=mobile/1a2b3c4d takes away
	@$(BIN)/python scripts/api_keys.py $(OPTIONS) $(if $(ADD),add $(ADD),$(if $(REVOKE),revoke $(REVOKE),list))

clean:  ## remove the virtual environments, caches and builds; models and samples stay
	rm -rf .venv .venv-npm .venv-convert .venv-sam .venv-policy .aws-sam .layers .runtime .pytest_cache .mypy_cache .ruff_cache .hypothesis

# pip learnt dependency groups in 25.1. The .pth file makes `python -m vision.cli` work from anywhere.
.venv/.base: layers/runtime/requirements.txt functions/portal/requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one with PYTHON=python3.13 make ..." >&2; exit 1; }
	@echo "Setting up .venv ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --requirement $<
	@$(BIN)/python -m pip install --quiet --no-deps --requirement functions/portal/requirements.lock
	@echo $(CURDIR)/layers/core > "$$($(BIN)/python -c 'import site; print(site.getsitepackages()[0])')/vision.pth"
	@touch $@

.venv/.local .venv/.evaluate .venv/.quantize .venv/.lock .venv/.test: .venv/.%: .venv/.base pyproject.toml
	@echo "Installing the dependency group '$*' ..."
	@$(BIN)/python -m pip install --quiet --group $*
	@touch $@

# The SAM CLI and checkov pin many packages, so each has an environment of its own.
.venv-sam/.done .venv-policy/.done: .venv-%/.done: pyproject.toml
	@echo "Setting up .venv-$* ..."
	@$(PYTHON) -m venv .venv-$*
	@.venv-$*/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	@.venv-$*/bin/python -m pip install --quiet --group $*
	@touch $@

.PHONY: help region run test test-conversion models convert evaluate quantize starter pictures samples bench bench-cold layers lock keys build deploy clean
