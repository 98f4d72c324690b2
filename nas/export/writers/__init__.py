"""The writers of the formats with float32, one each (see `nas.export.base.Writer`)."""
