# The ways to run, test and measure Ferroflow. Each target installs what it misses; big things are kept in
# $FERROFLOW_CACHE (default ~/.cache/ferroflow), outside the clone.
.PHONY: help run ui test test-unit test-compat test-differential test-browser test-large test-clouds test-garage demo lint docs bench bench-artifacts bench-client bench-growth bench-mixed soak fuzz

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

run: ## fetch the UI, build in release, serve on http://127.0.0.1:5000 (ARGS='...' adds flags)
	@scripts/run.sh $(ARGS)

ui: ## fetch the stock MLflow UI into ui/
	@scripts/ui.sh

test: ## everything: unit, API, compatibility and browser tests, and fuzzing for a minute
	@scripts/test.sh

test-unit: ## unit and API tests, on SQLite and Postgres 15 and 18
	@scripts/test.sh unit

test-compat: ## the real MLflow client and server (PYTEST_ARGS='-k name' picks)
	@scripts/test.sh compat

test-differential: ## of test-compat: each of some 9,600 answers beside the stock server's
	@scripts/test.sh differential

test-browser: ## the stock UI in Chromium
	@scripts/test.sh browser

test-large: ## artifacts of 3 GiB on S3 and disk, up and down (minutes, and 15 GB of disk)
	@LARGE=1 PYTEST_ARGS='-n 0 -k a_large_file' scripts/test.sh compat

test-clouds: ## Google's and Azure's stores, as far as emulators show them (fetches Azurite)
	@npm ci --prefix compat-tests/emulators --silent --no-audit --no-fund
	@PYTEST_ARGS='-n 0 -k test_clouds' scripts/test.sh compat

test-garage: ## of test-compat: what concerns S3, with Garage as the store (builds it, 16 minutes of a processor)
	@scripts/garage.sh
	@PYTEST_ARGS='-n 0 -k test_s3 --s3 garage' scripts/test.sh compat

demo: ## train a scikit-learn sweep against the server of `make run` (URL=...) and look at it in Chromium
	@scripts/demo.sh $(URL)

lint: ## format, clippy, rustdoc, dependencies
	@scripts/lint.sh

docs: ## make a book of docs/ (ARGS='--open' shows it)
	@scripts/docs.sh $(ARGS)

bench: ## measure beside stock, FastTrackML and mlflow-go (ARGS='--seconds 3 --databases sqlite --servers ferroflow,stock')
	@scripts/bench.sh $(ARGS)

bench-artifacts: ## measure large artifacts beside stock and boto3 (ARGS='--mib 256 --files 1')
	@scripts/bench-artifacts.sh $(ARGS)

bench-client: ## measure the server's part of a training script's time (ARGS='--runs 100')
	@scripts/bench-client.sh $(ARGS)

bench-growth: ## measure what grows with the rows (ARGS='--scale 0.1 --factors 1,10,100')
	@scripts/bench-growth.sh $(ARGS)

bench-mixed: ## two replicas under mixed work, watched (ARGS='--minutes 60 --output docs')
	@scripts/bench-mixed.sh $(ARGS)

soak: ## write, kill, and check every acknowledged write (ARGS='--minutes 60')
	@scripts/soak.sh $(ARGS)

fuzz: ## try the parsers of foreign bytes, 10 seconds each (ARGS='--seconds 600 otlp')
	@scripts/fuzz.sh $(ARGS)
