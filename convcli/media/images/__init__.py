"""Pictures as signals: streams of rows.

A picture goes through these modules, in this order:

* `files` recognises and opens a file, `source` makes each page a Source;
* `vips_reader` and `pnm` read strips of rows (`layout`) and the metadata beside them (`details`);
* `source` decodes strips (`levels`, `color`), and the filter runs;
* `sink` takes the results, `encoder` makes stored samples of them (`held` for `--range scale`);
* `vips_writer`, through `feed`, and `pnm` write the file.

`formats` is the table of formats. `png`, `jpeg`, `tiff`, `exif` and `vips_fields` read and write
metadata, and `vips` loads the library.
"""
