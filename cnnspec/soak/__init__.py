"""`cnnspec soak`: exact arithmetic over and over, on the device and on every core, and a bound on its errors."""
