-- Tags of a few models or versions: the keys of stock begin with the tag's name, so that all tags are read.
CREATE INDEX ferroflow_registered_model_tags ON registered_model_tags (workspace, name);
CREATE INDEX ferroflow_model_version_tags ON model_version_tags (workspace, name, version);
